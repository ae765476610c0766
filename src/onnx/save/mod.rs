//! Writing a model, with its data file where it has one: both whole under their names, or nothing.
//!
//! Everything is written under temporary names beside the target and renamed at the end; what replaces a file is synced first.
//! At every moment the target is what it was or what it will be, each with the data that belongs to it.
//! A run that is ended from outside leaves a temporary file at most, which the next run for the same target removes.
//! A model over 2,147,483,647 bytes is no protobuf reader's, so its long initializers go to a data file.
//! Without edits the model's own bytes come out, and copies of its data files where the target is elsewhere.
//! Pipes, devices and writers are written directly, after a pass that finds what a type could not hold.

mod advice;
mod detour;
mod gate;
mod place;
mod publish;
mod pump;
mod target;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::edit::Edits;
use super::error::{Flaw, WriteError};
use super::external::directory_of;
use super::files::FileId;
use super::load::Model;
use super::model::TensorData;
use super::render::DataFile;
use super::rope::Rope;
use super::wire::Span;
pub(crate) use advice::io_error;
use gate::Gate;
pub use place::Leftover;
use place::{Place, Purpose, Temporary};
use target::Destination;

/// The longest file that protobuf readers accept.
pub const LONGEST_MODEL: u64 = i32::MAX as u64;

/// Which tensors are written to a data file beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalPolicy {
    /// Those that were external; if the model would be too long for protobuf readers, all long initializers.
    #[default]
    Auto,
    /// All initializers that reach the size threshold, and those that were external.
    Always,
    /// None.
    Never,
}

/// How a model is written.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Which tensors go to a data file.
    pub external_data: ExternalPolicy,
    /// Inline initializers of fewer bytes stay in the model.
    pub size_threshold: u64,
    /// Allow the target to be the model itself.
    pub in_place: bool,
    /// The longest model file to write; a longer one gets a data file.
    pub longest_model: u64,
}

impl Default for SaveOptions {
    fn default() -> SaveOptions {
        SaveOptions {
            external_data: ExternalPolicy::Auto,
            size_threshold: 1024,
            in_place: false,
            longest_model: LONGEST_MODEL,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the model.
    pub model_bytes: u64,
    /// The data files and their bytes.
    pub data: Vec<(PathBuf, u64)>,
    /// What runs for the same target that were ended from outside had left beside it.
    pub leftovers: Vec<Leftover>,
}

/// What is to be written.
struct Plan {
    model: Rope,
    /// Data files, by their path below the target's directory.
    data: Vec<(PathBuf, Rope)>,
    /// Whether the data are the model's own files as they are.
    is_verbatim: bool,
    /// Inline initializers of at least this length are among the data.
    threshold: Option<u64>,
}

impl Plan {
    fn inline(model: Rope) -> Plan {
        Plan {
            model,
            data: Vec::new(),
            is_verbatim: false,
            threshold: None,
        }
    }
}

impl Edits<'_> {
    /// Writes the edited model to a file.
    ///
    /// # Errors
    /// If edits contradict each other, a tensor cannot hold its new values, a file cannot be read or written
    /// or has changed meanwhile, or the target is the model itself and may not be; all targets then are what they were.
    pub fn save(&self, target: &Path, options: &SaveOptions) -> Result<Saved, WriteError> {
        self.save_through(target, options, &gate::open)
    }

    fn save_through(
        &self,
        target: &Path,
        options: &SaveOptions,
        gate: &Gate<'_>,
    ) -> Result<Saved, WriteError> {
        match target::destination(target)? {
            Destination::File(target) => self.save_to_file(&target, options, gate),
            Destination::Stream(mut file) => self
                .save_to(&mut file, options)
                .map_err(|error| error.at(target)),
        }
    }

    /// Writes the edited model to a writer, which has no place for a data file.
    ///
    /// # Errors
    /// As [`Edits::save`]; what the writer has taken by then is its own affair.
    pub fn save_to(
        &self,
        writer: &mut dyn Write,
        options: &SaveOptions,
    ) -> Result<Saved, WriteError> {
        let file = Path::new("the output");
        let model = match self.is_empty() && !self.model.has_external_data() {
            true => whole(self.model),
            false => self.to_rope()?,
        };
        check_length(file, &model, options)?;
        let flaws = model.flaws(self.model)?;
        if !flaws.is_empty() {
            return Err(WriteError::Unrepresentable {
                file: file.to_owned(),
                flaws,
            });
        }
        pump::pump(self.model, &model, writer, file)?;
        writer.flush().map_err(|source| io_error(file, source))?;
        self.model.check_unchanged()?;
        Ok(Saved {
            model_bytes: model.len(),
            ..Saved::default()
        })
    }

    fn save_to_file(
        &self,
        target: &Path,
        options: &SaveOptions,
        gate: &Gate<'_>,
    ) -> Result<Saved, WriteError> {
        self.model.check_target(target, options.in_place)?;
        let plan = self.plan(target, options)?;
        let place = Place::new(target, self.model.files.path(), gate);
        let mut leftovers = place.sweep(directory_of(target), Purpose::Output);
        let (mut data, mut flaws) = (Vec::new(), Vec::new());
        for (path, rope) in &plan.data {
            let path = target::data_path(self.model, target, path, options.in_place)?;
            data.push(self.write(&place, path, Purpose::Output, rope, &mut flaws)?);
        }
        let model = target.to_owned();
        let model = self.write(&place, model, Purpose::Output, &plan.model, &mut flaws)?;
        if !flaws.is_empty() {
            return Err(WriteError::Unrepresentable {
                file: target.to_owned(),
                flaws,
            });
        }
        self.model.check_unchanged()?;
        self.publish(&place, &plan, data, model)?;
        leftovers.extend(place.sweep(directory_of(target), Purpose::Detour));
        let lengths = plan.data.iter().map(|(path, rope)| {
            let path = directory_of(target).join(path);
            (path, rope.len())
        });
        Ok(Saved {
            model_bytes: plan.model.len(),
            data: lengths.collect(),
            leftovers,
        })
    }

    fn write<'p>(
        &self,
        place: &Place<'p>,
        path: PathBuf,
        purpose: Purpose,
        rope: &Rope,
        flaws: &mut Vec<Flaw>,
    ) -> Result<Temporary<'p>, WriteError> {
        let name = path.clone();
        let mut output = place.create(path, purpose)?;
        flaws.extend(pump::pump(self.model, rope, &mut output, &name)?);
        Ok(output)
    }

    fn publish<'p>(
        &self,
        place: &Place<'p>,
        plan: &Plan,
        data: Vec<Temporary<'p>>,
        model: Temporary<'p>,
    ) -> Result<(), WriteError> {
        let all = || data.iter().chain([&model]);
        if all().any(publish::replaces) {
            all().try_for_each(Temporary::sync)?;
        }
        if data.is_empty() {
            return model.publish().map(drop);
        }
        let _turn = publish::turn(model.target());
        match data.iter().any(publish::replaces) {
            true => self.by_detour(place, plan, data, model),
            false => publish::directly(data, model),
        }
    }

    fn plan(&self, target: &Path, options: &SaveOptions) -> Result<Plan, WriteError> {
        let verbatim = match options.external_data {
            ExternalPolicy::Auto => true,
            ExternalPolicy::Always => false,
            ExternalPolicy::Never => !self.model.has_external_data(),
        } && self.model.len() <= options.longest_model;
        if self.is_empty() && verbatim {
            return Ok(Plan {
                model: whole(self.model),
                data: copies(self.model, target),
                is_verbatim: true,
                threshold: None,
            });
        }
        let always =
            (options.external_data == ExternalPolicy::Always).then_some(options.size_threshold);
        let plan = match options.external_data {
            ExternalPolicy::Never => Plan::inline(self.to_rope()?),
            ExternalPolicy::Auto if !self.model.has_external_data() => {
                Plan::inline(self.to_rope()?)
            }
            _ => self.with_data_file(target, always)?,
        };
        if plan.model.len() > options.longest_model && options.external_data == ExternalPolicy::Auto
        {
            let plan = self.with_data_file(target, Some(options.size_threshold))?;
            check_length(target, &plan.model, options)?;
            return Ok(plan);
        }
        check_length(target, &plan.model, options)?;
        Ok(plan)
    }

    fn with_data_file(&self, target: &Path, threshold: Option<u64>) -> Result<Plan, WriteError> {
        let location = target::data_name(target)?;
        let mut data = DataFile {
            location: location.clone(),
            rope: Rope::default(),
            threshold,
        };
        let model = self.render(Some(&mut data))?;
        let data = if data.rope.is_empty() {
            Vec::new()
        } else {
            vec![(PathBuf::from(location), data.rope)]
        };
        Ok(Plan {
            model,
            data,
            is_verbatim: false,
            threshold,
        })
    }
}

/// Writes a file of any kind as models are written: whole under its name, or not at all.
///
/// # Errors
/// If the file cannot be written; it then is what it was.
pub fn write_file(target: &Path, bytes: &[u8]) -> Result<Vec<Leftover>, WriteError> {
    write_file_through(target, bytes, &gate::open)
}

fn write_file_through(
    target: &Path,
    bytes: &[u8],
    gate: &Gate<'_>,
) -> Result<Vec<Leftover>, WriteError> {
    let failed = |source| io_error(target, source);
    let path = match target::destination(target)? {
        Destination::File(path) => path,
        Destination::Stream(mut file) => {
            return file.write_all(bytes).map(|()| Vec::new()).map_err(failed);
        }
    };
    let place = Place::new(&path, Some(&path), gate);
    let leftovers = place.sweep(directory_of(&path), Purpose::Output);
    let mut output = place.create(path.clone(), Purpose::Output)?;
    output.write_all(bytes).map_err(failed)?;
    if publish::replaces(&output) {
        output.sync()?;
    }
    output.publish()?;
    Ok(leftovers)
}

/// The model's own file.
fn whole(model: &Model) -> Rope {
    Rope::copy(FileId::MODEL, Span::new(0, model.len()))
}

/// The model's data files under their own names, unless the target is beside them.
fn copies(model: &Model, target: &Path) -> Vec<(PathBuf, Rope)> {
    let canonical = |path: &Path| directory_of(path).canonicalize().ok();
    if model.path().and_then(canonical) == canonical(target) {
        return Vec::new();
    }
    let mut found: Vec<(PathBuf, Rope)> = Vec::new();
    for tensor in &model.external {
        let TensorData::External(data) = &tensor.data else {
            continue;
        };
        let path = Path::new(&data.location).components().as_path().to_owned();
        if let Some(file) = model.files.at(&data.location)
            && found.iter().all(|(known, _)| *known != path)
        {
            found.push((path, Rope::copy(file, Span::new(0, model.files.size(file)))));
        }
    }
    found
}

fn check_length(target: &Path, rope: &Rope, options: &SaveOptions) -> Result<(), WriteError> {
    if rope.len() <= options.longest_model {
        return Ok(());
    }
    let reason = format!(
        "it would have {} bytes, more than the {} that protobuf readers accept; write it to a file and allow external data",
        rope.len(),
        options.longest_model
    );
    Err(WriteError::Refused {
        file: target.to_owned(),
        reason,
    })
}
