//! A base image for `sam local invoke`, made from this machine's own files where AWS's is not at hand.
//!
//! It goes by a name of its own: an image that somebody has pulled is neither covered nor removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// AWS's own, which `sam` takes unless it is told otherwise.
const AWS: &str = "public.ecr.aws/lambda/provided:al2023-x86_64";
/// What `sam` runs while it puts the runtime interface emulator on the base.
const PROGRAMS: [&str; 3] = ["sh", "mv", "chmod"];
/// Where one system or another keeps the certificates that it trusts.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The image that functions are invoked on. A stand-in is removed with all that was made of it; what `sam` makes of
/// AWS's own stays, as after any other call of it.
pub struct Image {
    /// `None`: AWS's own.
    stand_in: Option<String>,
}

impl Image {
    /// AWS's own if this machine has it, else a stand-in on which `binary` finds what it needs.
    pub fn of(binary: &Path, scratch: &Path) -> io::Result<Self> {
        if docker(&["image", "inspect", AWS]).is_ok() {
            return Ok(Self { stand_in: None });
        }
        let root = scratch.join("image");
        furnish(&root, binary)?;
        fs::write(root.join("Dockerfile"), "FROM scratch\nCOPY . /\nENV PATH=/bin\n")?;
        // Named for this process, since other runs may share the engine.
        let image = Self { stand_in: Some(format!("understudy-stand-in-{}", std::process::id())) };
        docker(&["build", "--quiet", "--tag", &image.name(), &root.display().to_string()])?;
        Ok(image)
    }

    /// What tells `sam` to take it.
    pub fn arguments(&self) -> Vec<String> {
        self.stand_in.iter().flat_map(|_| ["--invoke-image".to_owned(), self.name()]).collect()
    }

    pub fn name(&self) -> String {
        self.stand_in.as_ref().map_or_else(|| AWS.to_owned(), |name| format!("{name}:base"))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let Some(name) = &self.stand_in else { return };
        let (base, emulating) = (self.name(), format!("{name}:rapid-x86_64"));
        // A run that was broken off may have left containers, or not have come to the second image.
        let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("ancestor={emulating}")]);
        for container in left.unwrap_or_default().lines() {
            let _ = docker(&["rm", "--force", container]);
        }
        let _ = docker(&["image", "rm", "--force", &emulating]);
        let _ = docker(&["image", "rm", "--force", &base]);
    }
}

/// The machine's trusted certificates, without which no client of AWS starts.
pub fn certificates() -> io::Result<PathBuf> {
    let found = CERTIFICATES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::other(format!("no certificates at {}", CERTIFICATES.join(", "))))
}

/// Programs, libraries and certificates, each where this machine has it.
fn furnish(root: &Path, binary: &Path) -> io::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    for folder in ["bin", "tmp", "var/task"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let mut libraries = needed(binary)?;
    for name in PROGRAMS {
        let program = find(name)?;
        libraries.extend(needed(&program)?);
        fs::copy(&program, root.join("bin").join(name))?;
    }
    for file in libraries.iter().chain([&certificates()?]) {
        place(root, file)?;
    }
    Ok(())
}

/// The shared libraries of a program, the loader among them.
fn needed(program: &Path) -> io::Result<Vec<PathBuf>> {
    let told = output(Command::new("ldd").arg(program))?;
    Ok(told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn find(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::other(format!("no `{name}` on the path")))
}

fn place(root: &Path, file: &Path) -> io::Result<()> {
    let target = root.join(file.strip_prefix("/").unwrap_or(file));
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(file, target).map(|_| ())
}

fn docker(arguments: &[&str]) -> io::Result<String> {
    output(Command::new("docker").args(arguments))
}

/// What a program printed, or all that it complained about.
pub fn output(command: &mut Command) -> io::Result<String> {
    let failed = |program: &Command, why: &str| {
        io::Error::other(format!("{}: {why}", program.get_program().display()))
    };
    let done = command.stdin(Stdio::null()).output().map_err(|error| failed(command, &error.to_string()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(failed(command, &format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr))))
}
