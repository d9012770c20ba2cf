//! The sealed records of one execution with its report, from the evidence bucket to a folder that `journal check` reads;
//! of a signed one also the signature as bytes, and the public key as KMS tells it.
//!
//! A sealed record has one version and no delete marker: the bucket takes conditional puts only, and those succeed
//! again over a marker. So versions are listed, not objects. The bytes are written as they lie there. Where other bytes lay
//! under a record's name before it was sealed, ours lie beside, and are taken; the others are kept as `planted-…`.

use super::check_folder;
use super::signature::{REPORT, decoded, pem};
use crate::exit::{Code, Failure};
use crate::operate::{Deployed, Target, prefix, unavailable, wait};
use crate::terminal::tame;
use aws_config::SdkConfig;
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_aws::function::Function;
use understudy_aws::kms::SigningKey;
use understudy_aws::s3::{Bucket, Version};
use understudy_aws::scaffold::{WallClock, operator_config};
use understudy_core::journal::{Entry, Journal, Stored, sha256_hex};
use understudy_core::plan::Plan;
use understudy_core::report::Attestation;
use understudy_core::report::words::{HEAD_SIGNATURE, PUBLIC_KEY};
use understudy_core::steps::close::{BESIDE_DIGITS, key_beside, record_key, report_key};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The execution whose journal it is.
    execution: String,
    /// The folder for the records; made where it is not there.
    #[arg(long)]
    out: PathBuf,
    /// The evidence bucket; else the one that the deployed report-writer seals to.
    #[arg(long)]
    bucket: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&arguments.target).await?;
        let config = operator_config(&deployed.plan.regions.standby, deployed.profile()).await;
        let name = if let Some(name) = &arguments.bucket {
            name.clone()
        } else {
            let writer = Function::new(&config, format!("{}-report-writer", prefix(&deployed.plan)));
            bucket_of(&writer).await?
        };
        let bucket = Bucket::from_config(&config, name);
        let sealed = copy(&bucket, &deployed.plan, arguments).await?;
        say!("{} records in {}", sealed.len(), arguments.out.display());
        let reported = copy_report(&bucket, &config, &deployed.plan, arguments).await?;
        let (checked, _) = check_folder(&arguments.out, None)?;
        let unsealed = compare(&deployed, &arguments.execution, &sealed).await?;
        Ok(checked.max(unsealed).max(reported.of(&sealed)))
    })
}

/// Where the deployed report-writer seals to.
async fn bucket_of(writer: &Function) -> Result<String, Failure> {
    let found = writer.look().await.map_err(|fault| unavailable(&fault))?;
    let name = found.and_then(|found| found.environment.get("EVIDENCE_BUCKET").cloned());
    name.ok_or_else(|| {
        let text = "error: no deployed report-writer names its bucket; name it with `--bucket`";
        Failure::new(Code::NotAvailable, text)
    })
}

/// Copies record after record for as long as they are whole, so that what was readable is there to look at.
async fn copy(bucket: &Bucket, plan: &Plan, arguments: &Arguments) -> Result<Vec<Stored>, Failure> {
    let (execution, out) = (&arguments.execution, &arguments.out);
    let first = record_key(&plan.name, execution, 1);
    let folder = first.rsplit_once('/').map_or("", |(folder, _)| folder);
    let found = bucket.versions(&format!("{folder}/")).await.map_err(|fault| unavailable(&fault))?;
    if found.is_empty() {
        let text = format!(
            "error: nothing is sealed below `{folder}/`: see `understudy status` for the executions' names"
        );
        return Err(Failure::new(Code::NotAvailable, text));
    }
    one_version_each(&found)?;
    fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    let mut sealed = Vec::with_capacity(found.len());
    let keys: BTreeSet<&str> = found.iter().map(|version| version.key.as_str()).collect();
    for key in keys.iter().filter(|key| !is_beside(key)) {
        let bytes = bucket.read(key).await.map_err(|fault| unavailable(&fault))?;
        let name = key.rsplit_once('/').map_or(*key, |(_, name)| name);
        let bytes = match ours_beside(bucket, key, &keys).await? {
            None => bytes,
            Some(ours) => {
                say!(
                    "`{key}` held other bytes before it was sealed, kept as `planted-{name}`; ours lay beside it"
                );
                write_once(&out.join(format!("planted-{name}")), &bytes)?;
                ours
            }
        };
        write_once(&out.join(name), &bytes)?;
        let sha256 = sha256_hex(&bytes);
        let bytes = String::from_utf8(bytes)
            .map_err(|_| Failure::new(Code::Disagreement, format!("error: `{key}` is no text")))?;
        sealed.push(Stored::new(bytes, sha256));
    }
    Ok(sealed)
}

/// Whether the name of a key has a digest in it: `000001.0123456789abcdef.json`.
fn is_beside(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let digest = name.split('.').nth(1).filter(|_| name.split('.').count() == 3);
    digest.is_some_and(|digest| {
        digest.len() == BESIDE_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// What lies beside `key` under the name that its own bytes give it; of several the one that the chain takes is told by the
/// check that follows.
async fn ours_beside(bucket: &Bucket, key: &str, keys: &BTreeSet<&str>) -> Result<Option<Vec<u8>>, Failure> {
    let Some((name, _)) = key.rsplit_once('.') else { return Ok(None) };
    for beside in keys.iter().filter(|other| is_beside(other) && other.starts_with(&format!("{name}."))) {
        let bytes = bucket.read(beside).await.map_err(|fault| unavailable(&fault))?;
        if key_beside(key, &bytes) == **beside {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Whether the report was there to be copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reported {
    Copied,
    NotYet,
}

impl Reported {
    /// A journal that is closed has a report, or will have.
    fn of(self, sealed: &[Stored]) -> Code {
        if self == Self::Copied || !is_closed(sealed) {
            return Code::Ok;
        }
        say!("the report is not sealed yet; report-writer does that on its tick");
        Code::Refused
    }
}

async fn copy_report(
    bucket: &Bucket,
    config: &SdkConfig,
    plan: &Plan,
    arguments: &Arguments,
) -> Result<Reported, Failure> {
    let key = report_key(&plan.name, &arguments.execution);
    let prefix = key.strip_suffix("json").unwrap_or(&key);
    let found = bucket.versions(prefix).await.map_err(|fault| unavailable(&fault))?;
    let keys: BTreeSet<&str> = found
        .iter()
        .map(|found| found.key.as_str())
        .filter(|key| key.rsplit_once('.').is_some_and(|(_, kind)| kind == "json"))
        .collect();
    if keys.is_empty() {
        return Ok(Reported::NotYet);
    }
    one_version_each(&found)?;
    let bytes = match ours_beside(bucket, &key, &keys).await? {
        Some(ours) => ours,
        None => bucket.read(&key).await.map_err(|fault| unavailable(&fault))?,
    };
    let path = arguments.out.join(REPORT);
    write_once(&path, &bytes)?;
    let attestation = crate::report::read(&path)?.attestation;
    if let Attestation::Signed { key, .. } = &attestation {
        write_once(&arguments.out.join(HEAD_SIGNATURE), &decoded(&attestation)?)?;
        copy_public_key(config, key, &arguments.out.join(PUBLIC_KEY)).await?;
    }
    Ok(Reported::Copied)
}

/// A key that cannot be had does not keep the records from whoever wants them: the check says what it lacks.
async fn copy_public_key(config: &SdkConfig, arn: &str, path: &Path) -> Result<(), Failure> {
    match SigningKey::from_config(config, arn.to_owned()).public().await {
        Ok(Some(der)) => write_once(path, pem(&der).as_bytes()),
        Ok(None) => {
            say!("KMS knows no key `{}`", tame(arn));
            Ok(())
        }
        Err(fault) => {
            say!("the public key could not be had: {fault}");
            Ok(())
        }
    }
}

fn one_version_each(found: &[Version]) -> Result<(), Failure> {
    let disagree = |key: &str, what: &str| {
        Err(Failure::new(
            Code::Disagreement,
            format!("error: `{key}` {what}: somebody tried to replace evidence"),
        ))
    };
    if let Some(marker) = found.iter().find(|version| version.deleted) {
        return disagree(&marker.key, "has a delete marker");
    }
    let twice = found.iter().zip(found.iter().skip(1)).find(|(one, next)| one.key == next.key);
    twice.map_or(Ok(()), |(one, _)| disagree(&one.key, "has more than one version"))
}

/// A file that is there already is compared, never overwritten.
fn write_once(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match fs::read(path) {
        Ok(there) if there == bytes => Ok(()),
        Ok(_) => {
            let text = format!("error: {}: something else is there; choose an empty folder", path.display());
            Err(Failure::new(Code::Disagreement, text))
        }
        Err(_) => fs::write(path, bytes).map_err(|error| Failure::file(path, &error)),
    }
}

/// The bucket's records against the state table's, which are written first. A chain does not show that its tail is
/// missing; the table does.
async fn compare(deployed: &Deployed, execution: &str, sealed: &[Stored]) -> Result<Code, Failure> {
    let journal = Journal {
        cells: &deployed.table,
        clock: &WallClock,
        plan: &deployed.plan.name,
        plan_digest: "",
        execution,
        writer: "cli",
    };
    let written = match journal.all_stored().await {
        Ok(written) => written,
        Err(fault) => {
            say!("the state table could not be read, so the chain's end is not confirmed: {fault}");
            return Ok(Code::Refused);
        }
    };
    if let Some(at) = written.iter().zip(sealed).position(|(one, other)| one.as_ref() != other) {
        let text = format!("error: record {} differs between the state table and the bucket", at + 1);
        return Err(Failure::new(Code::Disagreement, text));
    }
    match written.len().checked_sub(sealed.len()) {
        None => {
            let text = "error: the bucket holds more records than the state table ever wrote";
            Err(Failure::new(Code::Disagreement, text))
        }
        Some(0) => Ok(ended(sealed)),
        Some(missing) => {
            say!("{missing} more records are not sealed yet; report-writer seals them on its tick");
            Ok(Code::Refused)
        }
    }
}

fn is_closed(sealed: &[Stored]) -> bool {
    let last = sealed.last().and_then(|stored| stored.record().ok());
    last.is_some_and(|record| matches!(record.entry, Entry::Closed { .. }))
}

fn ended(sealed: &[Stored]) -> Code {
    if is_closed(sealed) {
        say!("the state table holds the same records; the journal is closed");
        Code::Ok
    } else {
        say!("the state table holds the same records; the journal is not closed yet");
        Code::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(seq: u64, deleted: bool) -> Version {
        Version { key: record_key("plan", "i-1-a1", seq), deleted }
    }

    #[test]
    fn what_lies_beside_is_told_by_its_name() {
        let key = record_key("plan", "i-1-a1", 1);
        assert!(!is_beside(&key));
        assert!(is_beside(&key_beside(&key, b"ours")));
        assert!(!is_beside("journal/plan/i-1-a1/000001.short.json"));
    }

    #[test]
    fn one_version_and_no_marker_is_what_a_sealed_record_has() {
        assert!(one_version_each(&[version(1, false), version(2, false)]).is_ok());
        for found in [
            vec![version(1, false), version(1, false), version(2, false)],
            vec![version(1, false), version(1, true)],
            vec![version(1, true)],
        ] {
            let refused = one_version_each(&found);
            assert_eq!(refused.err().map(|failure| failure.code()), Some(Code::Disagreement), "{found:?}");
        }
    }
}
