//! The loaded library and the sessions it makes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::library;
use crate::engine::error::EngineError;
use crate::engine::guard;

/// The library of this process: it is loaded once.
static LOADED: OnceLock<Result<Runtime, (PathBuf, String)>> = OnceLock::new();

/// Where ONNX Runtime looks for the external data of a model that it gets as bytes; since its version 1.18.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";

#[derive(Debug)]
pub(super) struct Runtime {
    environment: Environment,
    version: String,
}

impl Runtime {
    pub(super) fn get() -> Result<&'static Runtime, EngineError> {
        let path = library::find()?;
        let loaded = LOADED.get_or_init(|| {
            let runtime = guard::catch(|| Runtime::load(&path)).and_then(|runtime| runtime);
            runtime.map_err(|reason| (path, reason))
        });
        loaded
            .as_ref()
            .map_err(|(path, reason)| EngineError::Library {
                path: path.display().to_string(),
                reason: reason.clone(),
                variable: library::VARIABLE,
            })
    }

    fn load(path: &Path) -> Result<Runtime, String> {
        let version = library::version(path).map_err(|error| error.to_string())?;
        let builder = ort::init_from(path).map_err(|error| error.to_string())?;
        let environment = builder.with_name("bnfold").with_telemetry(false).build();
        Ok(Runtime {
            environment: environment.map_err(|error| error.to_string())?,
            version,
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// A session over an encoded model, nothing optimised; `directory` is where its external data lies.
    pub(super) fn session(&self, model: &[u8], directory: Option<&Path>) -> ort::Result<Session> {
        let builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::Disable)?
            .with_intra_threads(1)?
            .with_deterministic_compute(true)?
            .with_memory_pattern(false)?
            .with_log_level(LogLevel::Fatal)?
            .with_execution_providers([ort::ep::CPU::default()
                .with_arena_allocator(false)
                .build()])?;
        let mut builder = match directory.and_then(Path::to_str) {
            Some(directory) => builder.with_config_entry(EXTERNAL_FOLDER, directory)?,
            None => builder,
        };
        builder.commit_from_memory(model)
    }
}

/// What ONNX Runtime said, in one line.
pub(super) fn words(error: &ort::Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
