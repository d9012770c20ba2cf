//! Every function of the template through `sam local invoke`, in a container of its runtime: the template as it
//! is, packages as for AWS with the binaries of this build, and no AWS to talk to.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use support::image::{Image, certificates, output};
use support::{FUNCTIONS, event, root};
use understudy_invoke_tests::{names_a_field, paths};

/// As many as the smallest machine has cores: most of a call is `sam` itself starting.
const AT_ONCE: usize = 2;

#[test]
fn every_function_of_the_template_answers_through_sam() {
    let (Some(binaries), Some(sam)) = (support::binaries(), support::sam()) else { return };
    let bench = Bench::set_up(sam, &binaries).unwrap_or_else(|error| panic!("{error}"));
    let functions = functions(&bench.template());
    let mut named: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, FUNCTIONS, "the template's functions and those that are tested");
    println!("on {}", bench.image.name());
    let waiting = Mutex::new(functions);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(function) = next(&waiting) {
                    examine(&bench, &function);
                }
            });
        }
    });
}

fn next(waiting: &Mutex<Vec<Function>>) -> Option<Function> {
    waiting.lock().expect("nobody stopped with the list in hand").pop()
}

/// One resource of the template.
struct Function {
    /// `RouteProber`, as `sam` is told.
    id: String,
    /// `route-prober`, as crate, package and events are called.
    name: String,
}

/// The functions that the template declares.
fn functions(template: &str) -> Vec<Function> {
    let mut id = "";
    let mut all = Vec::new();
    for line in template.lines() {
        if let Some(key) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'))
            && !key.starts_with(' ')
        {
            id = key;
        }
        if line.trim() == "Type: AWS::Serverless::Function" {
            all.push(Function { id: id.to_owned(), name: dashed(id) });
        }
    }
    all
}

/// `RouteProber` → `route-prober`.
fn dashed(id: &str) -> String {
    let mut name = String::new();
    for c in id.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Its example event, then the same with every field of the wrong type.
fn examine(bench: &Bench, function: &Function) {
    let since = Instant::now();
    let example = event(&function.name).expect("an example event");
    let answer = bench.invoke(function, &example.name, &example.text);
    let kind = kind(&answer);
    assert!(answer.is_object(), "{}: {answer}", function.name);
    // Nothing is there to talk to, and the event is not to blame for that.
    assert!(kind.is_none_or(|kind| kind == "Transient"), "{}: {answer}", function.name);

    let malformed = malformed(&example.event).to_string();
    let refusal = bench.invoke(function, "malformed", &malformed);
    let told = refusal.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
    assert_eq!(self::kind(&refusal), Some("Invalid"), "{}: {refusal} to {malformed}", function.name);
    assert!(names_a_field(told, &paths(&malformed)), "{}: {refusal} to {malformed}", function.name);
    let seconds = since.elapsed().as_secs_f64();
    println!("{:20} {}: {answer}\n{:20} malformed: {told} ({seconds:.1} s)", function.id, example.name, "");
}

/// The name of the error that a function ended with.
fn kind(answer: &Value) -> Option<&str> {
    answer.get("errorType").and_then(Value::as_str)
}

fn malformed(event: &Value) -> Value {
    let fields = event.as_object().into_iter().flatten();
    fields.map(|(key, _)| (key.clone(), Value::from(17))).collect()
}

/// A copy of the template with its packages beside it, and what `sam` needs to run them.
struct Bench {
    sam: PathBuf,
    folder: PathBuf,
    image: Image,
    /// The template's parameters in the standby and in the primary.
    parameters: [Vec<String>; 2],
}

impl Bench {
    fn set_up(sam: PathBuf, binaries: &Path) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sam");
        fs::create_dir_all(folder.join("infra"))?;
        fs::copy(root().join("template.yaml"), folder.join("template.yaml"))?;
        let plan = root().join("infra/plans/financial-rag.yaml");
        let understudy = binaries.join("understudy");
        // The machine's certificates stand for Amazon's bundle: `sql-agent` reads it before any event.
        let mut package = Command::new(&understudy);
        package.args(["package", "--quick", "--plan"]).arg(&plan).arg("--binaries").arg(binaries);
        package.arg("--functions").arg(root().join("functions")).arg("--rds-ca").arg(certificates()?);
        output(package.arg("--out").arg(folder.join("target/package")))?;
        let parameters = |role: &str| -> io::Result<Vec<String>> {
            let told = output(
                Command::new(&understudy).args(["plan", "parameters"]).arg(&plan).args(["--role", role]),
            )?;
            Ok(told.lines().map(str::to_owned).collect())
        };
        keep_quiet(&folder)?;
        let image = Image::of(&binaries.join("route-prober"), &folder)?;
        Ok(Self { sam, image, parameters: [parameters("standby")?, parameters("primary")?], folder })
    }

    fn template(&self) -> String {
        fs::read_to_string(self.folder.join("template.yaml")).expect("the template reads")
    }

    /// What a function makes of an event: its answer, or its error as `sam` prints it.
    fn invoke(&self, function: &Function, name: &str, event: &str) -> Value {
        let file = self.folder.join(format!("{}-{name}.json", function.name));
        fs::write(&file, event).expect("the event is written");
        let [standby, primary] = &self.parameters;
        let mut sam = Command::new(&self.sam);
        sam.current_dir(&self.folder).args(["local", "invoke", &function.id, "--skip-pull-image", "--event"]);
        sam.arg(&file).args(self.image.arguments());
        // No name resolves, so nothing reaches AWS from a machine that could.
        sam.args(["--container-dns", "127.0.0.1", "--parameter-overrides"]);
        sam.args(if function.name == "primary-guard" { primary } else { standby });
        without_aws(&mut sam, &self.folder);
        let told = output(&mut sam).unwrap_or_else(|error| panic!("{}: {error}", function.name));
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{}: {error}: `{told}`", function.name))
    }
}

/// No credentials of whoever runs this, and none looked for.
fn without_aws(sam: &mut Command, folder: &Path) {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
        sam.env_remove(name);
    }
    sam.env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("SAM_CLI_TELEMETRY", "0")
        .env("__SAM_CLI_APP_DIR", folder.join("home"));
}

/// Keeps `sam` from asking the package index at every call whether it is the newest.
fn keep_quiet(folder: &Path) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let text = format!(r#"{{"telemetryEnabled": false, "lastVersionCheck": {now:.1}}}"#);
    fs::create_dir_all(folder.join("home"))?;
    fs::write(folder.join("home/metadata.json"), text)
}
