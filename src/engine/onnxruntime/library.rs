//! Where the shared library of ONNX Runtime is, and which version it says it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::engine::error::EngineError;

/// The environment variable that names the library.
pub(super) const VARIABLE: &str = "ORT_DYLIB_PATH";

#[cfg(windows)]
const FILE: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const FILE: &str = "libonnxruntime.dylib";
#[cfg(not(any(windows, target_os = "macos")))]
const FILE: &str = "libonnxruntime.so";

/// The library that [`EngineChoice::OnnxRuntime`](crate::engine::EngineChoice) describes.
pub(in crate::engine) fn find() -> Result<PathBuf, EngineError> {
    find_by(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn find_by(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, EngineError> {
    if let Some(named) = variable(VARIABLE) {
        let path = PathBuf::from(named);
        // ort takes a relative path from the program's directory first.
        let absolute = std::path::absolute(&path);
        return match absolute.ok().filter(|path| path.is_file()) {
            Some(absolute) => Ok(absolute),
            None => Err(EngineError::Library {
                path: path.display().to_string(),
                reason: "there is no such file".to_owned(),
                variable: VARIABLE,
            }),
        };
    }
    let places = packages(variable).into_iter().chain(libraries(variable));
    // Nothing is loaded from a place that depends on where the program runs.
    let mut places = places.filter(|place| place.is_absolute());
    let found = places.find_map(|place| newest(&place));
    found.ok_or(EngineError::NoLibrary {
        variable: VARIABLE,
        file: FILE,
    })
}

/// Where Python installations keep the package's library.
fn packages(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let one = |name: &str| variable(name).map(PathBuf::from);
    let path = variable("PATH").unwrap_or_default();
    // `PREFIX/bin/python3` has its packages below PREFIX; on Windows `PREFIX/python.exe` has.
    let beside = std::env::split_paths(&path).flat_map(|directory| {
        let parent = directory.parent().map(Path::to_owned);
        parent.into_iter().chain(cfg!(windows).then_some(directory))
    });
    let home = one("HOME").map(|home| home.join(".local"));
    let prefixes = [one("VIRTUAL_ENV"), one("CONDA_PREFIX")]
        .into_iter()
        .flatten()
        .chain(beside)
        .chain(home);
    prefixes.flat_map(|prefix| capi(&prefix)).collect()
}

/// The directories below a Python prefix in which the package may keep its library.
fn capi(prefix: &Path) -> Vec<PathBuf> {
    let inside = |site: PathBuf| site.join("onnxruntime").join("capi");
    if cfg!(windows) {
        return vec![inside(prefix.join("Lib").join("site-packages"))];
    }
    let is_python = |name: &str| name.starts_with("python3");
    let versions = ["lib", "lib64"].map(|lib| entries(&prefix.join(lib), is_python));
    let sites = versions.into_iter().flatten().flat_map(|version| {
        ["site-packages", "dist-packages"].map(|packages| version.join(packages))
    });
    sites.map(inside).collect()
}

/// Where libraries lie by themselves.
fn libraries(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let paths = if cfg!(windows) {
        "PATH"
    } else if cfg!(target_os = "macos") {
        "DYLD_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let paths = variable(paths).unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    if cfg!(unix) {
        let system = [
            "/usr/local/lib",
            "/opt/homebrew/lib",
            "/usr/lib",
            "/usr/lib64",
        ];
        places.extend(system.map(PathBuf::from));
        places.extend(entries(Path::new("/usr/lib"), |name| {
            name.ends_with("-linux-gnu")
        }));
    }
    places
}

/// The library of the highest version in a directory, by its name.
fn newest(directory: &Path) -> Option<PathBuf> {
    let (stem, extension) = FILE.split_once('.')?;
    // `libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib`.
    let is_library = |name: &str| {
        let rest = name.strip_prefix(stem).unwrap_or_default();
        let only_version = |part: &str| part == extension || part.parse::<u32>().is_ok();
        let mut parts = rest.strip_prefix('.').unwrap_or_default().split('.');
        parts.clone().any(|part| part == extension) && parts.all(only_version)
    };
    let numbers = |path: &PathBuf| -> Vec<u32> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    let found = entries(directory, is_library).into_iter();
    found.filter(|path| path.is_file()).max_by_key(numbers)
}

/// What a directory holds under such names, in the order of the names; nothing if it cannot be read.
fn entries(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = listing
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&is_wanted))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// What precedes the version in the library's file: the version of its symbols in ELF, its install name in
/// Mach-O. ort has no safe call of the library's own `GetVersionString`.
const MARKS: [&[u8]; 2] = [b"VERS_", b"libonnxruntime."];
/// No mark with its version is longer.
const LONGEST: usize = 64;

/// The version that a library records of itself, else the one in its name.
pub(super) fn version(library: &Path) -> io::Result<String> {
    let mut file = File::open(library)?;
    let (mut window, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut chunk)?;
        window.extend_from_slice(&chunk[..count]);
        if let Some(version) = recorded(&window) {
            return Ok(version);
        }
        if count == 0 {
            break;
        }
        let kept = window.len().saturating_sub(LONGEST);
        window.drain(..kept);
    }
    let resolved = library.canonicalize()?;
    let name = resolved.file_name().unwrap_or_default().to_string_lossy();
    let digits = name.find(|letter: char| letter.is_ascii_digit());
    let named = digits.and_then(|at| leading(format!("{}\0", &name[at..]).as_bytes()));
    Ok(named.unwrap_or_else(|| "of unknown version".to_owned()))
}

fn recorded(bytes: &[u8]) -> Option<String> {
    let after = |mark: &'static [u8]| {
        let places = bytes.windows(mark.len()).enumerate();
        places.filter_map(move |(at, window)| {
            let rest = bytes.get(at + mark.len()..)?;
            (window == mark).then(|| leading(rest)).flatten()
        })
    };
    MARKS.into_iter().find_map(|mark| after(mark).next())
}

/// `MAJOR.MINOR.PATCH` at the start of the bytes, if something else ends it.
fn leading(bytes: &[u8]) -> Option<String> {
    let length = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    let text = text.trim_end_matches('.');
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    (text.split('.').count() == 3 && text.split('.').all(is_number)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_recorded_one_else_the_one_in_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let found = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            version(&path).unwrap()
        };
        // Across the border of two chunks.
        let filler = vec![b'V'; (1 << 20) - 8];
        let elf = [&filler[..], b"VERS_1.32.0\0VERS_9.9.9\0"].concat();
        assert_eq!(found("libonnxruntime.so.1.1.1", &elf), "1.32.0");
        let mach = b"@rpath/libonnxruntime.1.20.1.dylib\0";
        assert_eq!(found("libonnxruntime.dylib", mach), "1.20.1");
        let other = b"VERS_2 libonnxruntime.so.1\0 VERS_1.2.3.4\0";
        assert_eq!(found("libonnxruntime.so.1.19.2", other), "1.19.2");
        assert_eq!(found("onnxruntime.dll", other), "of unknown version");
    }
}
