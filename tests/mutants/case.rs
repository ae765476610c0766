//! A model for a rule, and what is known of its mutants.

use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::testing::{Graph, model};

/// A model that one rule or a few fold.
pub(crate) struct Case {
    /// Rules that the model's folds must use, as in `Conv upstream` or `Reduction`.
    pub(crate) rules: Vec<String>,
    /// What is special about it.
    pub(crate) variant: String,
    pub(crate) model: ModelProto,
    pub(crate) options: PlanOptions,
    /// Groups or blocks that a layout may take for each other; 0 where there are none.
    pub(crate) blocks: usize,
    /// Mutants that change no output, with the reason: a part of their description.
    pub(crate) equivalent: Vec<(&'static str, &'static str)>,
    pub(crate) forced: Option<Forced>,
}

/// A fold that a rule refuses, made nevertheless: the plan of a twin that may be folded, carried out on the model.
pub(crate) struct Forced {
    /// What is ignored.
    pub(crate) what: &'static str,
    /// Makes the twin.
    pub(crate) twin: Box<dyn Fn(&mut ModelProto) + Send + Sync>,
    /// Whether the model's own shift takes the place of the twin's.
    pub(crate) is_shift_pushed: bool,
    /// The value that shows it, where it is not the fold's end.
    pub(crate) shown_at: Option<&'static str>,
}

/// A model for some rules.
pub(crate) fn case<R>(
    rules: &[&str],
    variant: impl Into<String>,
    build: impl FnOnce(&Graph) -> R,
) -> Case {
    Case {
        rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
        variant: variant.into(),
        model: model(build),
        options: PlanOptions::default(),
        blocks: 0,
        equivalent: Vec::new(),
        forced: None,
    }
}

impl Case {
    pub(crate) fn blocks(mut self, blocks: usize) -> Case {
        self.blocks = blocks;
        self
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut PlanOptions)) -> Case {
        change(&mut self.options);
        self
    }

    /// Mutants with this in their description change no output, because of this.
    pub(crate) fn equivalent(mut self, which: &'static str, why: &'static str) -> Case {
        self.equivalent.push((which, why));
        self
    }

    /// The model is folded by the plan of a twin.
    pub(crate) fn forced(
        mut self,
        what: &'static str,
        twin: impl Fn(&mut ModelProto) + Send + Sync + 'static,
    ) -> Case {
        self.forced = Some(Forced {
            what,
            twin: Box::new(twin),
            is_shift_pushed: false,
            shown_at: None,
        });
        self
    }

    /// The model's own shift takes the place of the twin's.
    pub(crate) fn with_its_shift(mut self) -> Case {
        self.forced
            .iter_mut()
            .for_each(|forced| forced.is_shift_pushed = true);
        self
    }

    /// Not the fold's end shows it but this value.
    pub(crate) fn shown_at(mut self, value: &'static str) -> Case {
        self.forced
            .iter_mut()
            .for_each(|forced| forced.shown_at = Some(value));
        self
    }

    pub(crate) fn title(&self) -> String {
        format!("{}: {}", self.rules.join(", "), self.variant)
    }
}
