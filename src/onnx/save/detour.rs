//! The detour on which a model and its data file replace others: the data gets a temporary name that the model may refer
//! to, by which `publish` puts both in place.

use std::path::Path;

use super::place::{Place, Purpose, Temporary};
use super::publish::{self, Detour};
use super::{Plan, pump, target};
use crate::onnx::edit::Edits;
use crate::onnx::error::WriteError;
use crate::onnx::render::DataFile;
use crate::onnx::rope::Rope;

/// Data under a temporary name that a model may refer to.
struct Bridge<'p> {
    bridge: Temporary<'p>,
    /// What takes the data's own names meanwhile: a link to the bridge, or the data files.
    files: Vec<Temporary<'p>>,
    /// Whether the bridge is the data itself, rather than still to be written once more.
    is_moved: bool,
}

impl<'p> Bridge<'p> {
    fn new(
        place: &Place<'p>,
        plan: &Plan,
        mut files: Vec<Temporary<'p>>,
        target: &Path,
    ) -> Result<Bridge<'p>, WriteError> {
        if !plan.is_verbatim && files.len() == 1 {
            let data = place.keep(files.remove(0))?;
            if let Ok(link) = place.link(&data) {
                return Ok(Bridge {
                    bridge: data,
                    files: vec![link],
                    is_moved: true,
                });
            }
            files.push(data);
        }
        Ok(Bridge {
            bridge: place.create(target.to_owned(), Purpose::Detour)?,
            files,
            is_moved: false,
        })
    }
}

impl Edits<'_> {
    /// The model first refers to its data under a temporary name, so it is rendered once more.
    pub(super) fn by_detour<'p>(
        &self,
        place: &Place<'p>,
        plan: &Plan,
        data: Vec<Temporary<'p>>,
        model: Temporary<'p>,
    ) -> Result<(), WriteError> {
        let target = model.target();
        let Bridge {
            mut bridge,
            files,
            is_moved,
        } = Bridge::new(place, plan, data, target)?;
        let mut file = DataFile {
            location: target::file_name(bridge.path())?.to_owned(),
            rope: Rope::default(),
            threshold: plan.threshold,
        };
        let rope = self.render(Some(&mut file))?;
        if !is_moved {
            pump::pump(self.model, &file.rope, &mut bridge, target)?;
            bridge.sync()?;
        }
        let mut flaws = Vec::new();
        let first = self.write(place, target.to_owned(), Purpose::Output, &rope, &mut flaws)?;
        first.sync()?;
        let detour = Detour {
            data: bridge,
            model: first,
            is_moved,
        };
        publish::by_detour(detour, files, model)
    }
}
