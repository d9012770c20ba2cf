//! The processes of a running local cloud: started in groups of their own, remembered by id, ended by id.
//!
//! An id is trusted only together with the instant at which that process began: an id that the system has given
//! to somebody else meanwhile is never signalled.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One process, as it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub name: String,
    pid: i32,
    /// Start time by the kernel, in its own ticks.
    began: u64,
}

/// Why a process could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {name}")]
    Start { name: String, source: io::Error },
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{name} (process {pid}) does not end")]
    Stuck { name: String, pid: i32 },
}

/// The list of processes of one cloud, kept in a file so that a later command can end them.
#[derive(Debug)]
pub struct Processes {
    path: PathBuf,
    logs: PathBuf,
}

impl Processes {
    pub fn of(state_dir: &Path) -> Self {
        Self { path: state_dir.join("processes.json"), logs: state_dir.join("logs") }
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts `command` in a group of its own, with its output in a log, and remembers it.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<(), ProcessError> {
        use std::os::unix::process::CommandExt;
        let path = self.log(name);
        let file = |path: &Path| move_error(path, File::options().create(true).append(true).open(path));
        let (out, err) = (file(&path)?, file(&path)?);
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| ProcessError::Start { name: name.to_owned(), source })?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let mut all = self.all()?;
        all.retain(|process| process.name != name);
        all.push(Process { name: name.to_owned(), pid, began: began(pid).unwrap_or(0) });
        self.save(&all)
    }

    pub fn all(&self) -> Result<Vec<Process>, ProcessError> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(ProcessError::File { path: self.path.clone(), source }),
        }
    }

    fn save(&self, all: &[Process]) -> Result<(), ProcessError> {
        let bytes = serde_json::to_vec_pretty(all).unwrap_or_default();
        move_error(&self.path, fs::write(&self.path, bytes))
    }

    /// Sends `signal` to one process and its group, if it still is the one that was started.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<(), ProcessError> {
        for process in self.all()?.iter().filter(|process| process.name == name) {
            process.signal(signal);
        }
        Ok(())
    }

    /// Ends one process and forgets it.
    pub fn end(&self, name: &str) -> Result<(), ProcessError> {
        let (ending, rest): (Vec<_>, Vec<_>) =
            self.all()?.into_iter().partition(|process| process.name == name);
        for process in &ending {
            process.end()?;
        }
        self.save(&rest)
    }

    /// Ends every process, the last one started first.
    pub fn end_all(&self) -> Result<(), ProcessError> {
        for process in self.all()?.iter().rev() {
            process.end()?;
        }
        self.save(&[])
    }
}

impl Process {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn is_ours(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group().filter(|_| self.is_ours()) {
            // Gone in this very moment is as good as ended.
            let _ = kill_process_group(group, signal);
        }
    }

    fn end(&self) -> Result<(), ProcessError> {
        let Some(group) = self.group().filter(|_| self.is_ours()) else { return Ok(()) };
        // A stopped process would not hear that it should end.
        let _ = kill_process_group(group, Signal::CONT);
        let _ = kill_process_group(group, Signal::TERM);
        if gone_within(self, group, GRACE) {
            return Ok(());
        }
        let _ = kill_process_group(group, Signal::KILL);
        if gone_within(self, group, GRACE) {
            Ok(())
        } else {
            Err(ProcessError::Stuck { name: self.name.clone(), pid: self.pid })
        }
    }
}

/// The end of a process that is not our child cannot be awaited, only looked for.
fn gone_within(process: &Process, group: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if !process.is_alive() || test_kill_process_group(group).is_err() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

impl Process {
    /// Alive, and not merely waiting for its parent to notice its end.
    fn is_alive(&self) -> bool {
        self.is_ours() && state(self.pid) != Some('Z')
    }
}

/// The fields of `/proc/<pid>/stat` behind the command's name.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Field 22 of the file, the 20th behind the name.
fn began(pid: i32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

fn move_error<T>(path: &Path, result: io::Result<T>) -> Result<T, ProcessError> {
    result.map_err(|source| ProcessError::File { path: path.into(), source })
}
