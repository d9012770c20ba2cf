//! The example events of `tests/events`, a folder for each function.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One example event.
#[derive(Clone, Debug)]
pub struct Example {
    pub function: String,
    /// The file's name without its ending.
    pub name: String,
    pub text: String,
    pub event: Value,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// All of them, by function and name.
pub fn examples() -> io::Result<Vec<Example>> {
    let mut all = Vec::new();
    for function in entries(&folder())? {
        for file in entries(&function)? {
            let text = fs::read_to_string(&file)?;
            let event = serde_json::from_str(&text)
                .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
            all.push(Example { function: stem(&function), name: stem(&file), text, event });
        }
    }
    all.sort_by(|one, other| (&one.function, &one.name).cmp(&(&other.function, &other.name)));
    Ok(all)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
