//! What lies beside the records: the report that tells of them, the signature of the last one, the key that made it.
//!
//! A public key that came in the same folder shows that the folder fits together, not whose key it is, and that is
//! said each time. A signature that was not checked is never passed over (L4).

use crate::exit::{Code, Failure};
use crate::report;
use crate::terminal::tame;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::journal::{Record, Stored, sha256_hex};
use understudy_core::report::words::{HEAD_SIGNATURE, PUBLIC_KEY};
use understudy_core::report::{Attestation, Report};

/// The report's file beside the records.
pub const REPORT: &str = "report.json";

/// KMS's name for the only algorithm that is checked here.
const ALGORITHM: &str = "ECDSA_SHA_256";

/// What every P-256 key begins with as DER (RFC 5480); the point follows.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

fn disagree(text: impl AsRef<str>) -> Failure {
    Failure::new(Code::Disagreement, format!("error: {}", text.as_ref()))
}

/// Holds a chain that is whole against what lies in its folder; `given` is a public key that came another way.
pub fn check(
    folder: &Path,
    chain: &[Stored],
    records: &[Record],
    given: Option<&Path>,
) -> Result<Code, Failure> {
    let report = report_in(folder)?;
    if let Some(report) = &report {
        agrees(report, chain, records)?;
        say!("{REPORT} tells of these records");
    }
    let Some(signature) = Signature::beside(folder, report.as_ref())? else {
        return Ok(unsigned(report.is_some(), given.is_some()));
    };
    let (path, came_along) = match given {
        Some(path) => (path.to_owned(), false),
        None => (folder.join(PUBLIC_KEY), true),
    };
    if came_along && !path.exists() {
        say!("THE SIGNATURE WAS NOT CHECKED: no public key is at hand; name one with `--public-key`.");
        say!("  its owner has it: {}", signature.ask_kms("| openssl pkey -pubin -inform DER > key.pem"));
        return Ok(Code::Refused);
    }
    let key = PublicKey::read(&path)?;
    let last = chain.last().map_or("", Stored::bytes);
    key.verify(last, &signature.bytes)?;
    say!("the signature of the last record is good: {}", signature.by());
    say!("  by the key whose DER has the SHA-256 {}", key.fingerprint());
    if came_along {
        say!("  THAT KEY CAME WITH THE FOLDER: so the folder fits together, but whose key it is was not");
        say!("  checked. Compare: {}", signature.ask_kms("| sha256sum"));
    }
    Ok(Code::Ok)
}

/// Nothing is signed: fine, unless somebody brought a key to check it by.
fn unsigned(has_report: bool, key_given: bool) -> Code {
    if has_report {
        say!("self_attested: nobody signed this journal");
    } else {
        say!("no report and no signature lie beside the records: who wrote them was not checked");
    }
    if key_given {
        say!("THE SIGNATURE WAS NOT CHECKED: there is none");
        return Code::Refused;
    }
    Code::Ok
}

fn report_in(folder: &Path) -> Result<Option<Report>, Failure> {
    let path = folder.join(REPORT);
    if path.exists() { report::read(&path).map(Some) } else { Ok(None) }
}

/// The report is of this journal, and of all of it.
fn agrees(report: &Report, chain: &[Stored], records: &[Record]) -> Result<(), Failure> {
    let first = records.first();
    if first.is_none_or(|first| first.execution != report.execution || first.plan != report.plan) {
        return Err(disagree(format!("{REPORT} is of another execution: {}", tame(&report.execution))));
    }
    let (told, found) = (report.journal.records, chain.len());
    if usize::try_from(told) != Ok(found) {
        return Err(disagree(format!("{REPORT} tells of {told} records, and {found} are here")));
    }
    let head = chain.last().map_or("", Stored::sha256);
    if report.journal.head_sha256 != head {
        let told = tame(&report.journal.head_sha256);
        return Err(disagree(format!("{REPORT} names the head {told}, and the chain ends in {head}")));
    }
    Ok(())
}

/// A signature with whoever is said to have made it.
struct Signature {
    bytes: Vec<u8>,
    /// The key's ARN, where a report names it.
    key: Option<String>,
}

impl Signature {
    /// The report's, which the file of its own must equal; that file's, where there is no report.
    fn beside(folder: &Path, report: Option<&Report>) -> Result<Option<Self>, Failure> {
        let path = folder.join(HEAD_SIGNATURE);
        let file = if path.exists() {
            Some(fs::read(&path).map_err(|error| Failure::file(&path, &error))?)
        } else {
            None
        };
        match (report.map(|report| &report.attestation), file) {
            (None, file) => Ok(file.map(|bytes| Self { bytes, key: None })),
            (Some(Attestation::SelfAttested), None) => Ok(None),
            (Some(Attestation::SelfAttested), Some(_)) => {
                Err(disagree(format!("{HEAD_SIGNATURE} lies here, and {REPORT} says self_attested")))
            }
            (Some(signed @ Attestation::Signed { key, .. }), file) => {
                let bytes = decoded(signed)?;
                if file.is_some_and(|file| file != bytes) {
                    return Err(disagree(format!("{HEAD_SIGNATURE} is not the signature in {REPORT}")));
                }
                Ok(Some(Self { bytes, key: Some(key.clone()) }))
            }
        }
    }

    fn by(&self) -> String {
        self.key.as_ref().map_or_else(|| "by a key that no report names".to_owned(), |key| tame(key))
    }

    /// How a person gets the public key from KMS itself, for `then`.
    fn ask_kms(&self, then: &str) -> String {
        let key = self.key.as_ref().map_or_else(|| "KEY".to_owned(), |key| tame(key));
        let region = key.split(':').nth(3).unwrap_or("REGION");
        format!(
            "aws kms get-public-key --region {region} --key-id {key} --query PublicKey --output text | base64 -d {then}"
        )
    }
}

/// The bytes of a signed attestation's signature.
pub fn decoded(attestation: &Attestation) -> Result<Vec<u8>, Failure> {
    let Attestation::Signed { algorithm, signature, .. } = attestation else { return Ok(Vec::new()) };
    if algorithm != ALGORITHM {
        let text = format!("error: signed by {}: this understudy checks {ALGORITHM}", tame(algorithm));
        return Err(Failure::new(Code::BadInput, text));
    }
    STANDARD.decode(signature).map_err(|error| disagree(format!("the signature in {REPORT}: {error}")))
}

/// A P-256 key as DER.
struct PublicKey {
    path: PathBuf,
    der: Vec<u8>,
}

impl PublicKey {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path).map_err(|error| Failure::file(path, &error))?;
        let wrong = |why: &str| Failure::new(Code::BadInput, format!("error: {}: {why}", path.display()));
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&text)
            .map_err(|_| wrong("no public key in PEM, `-----BEGIN PUBLIC KEY-----`"))?;
        if !der.starts_with(&P256) {
            return Err(wrong("no key of the curve P-256"));
        }
        Ok(Self { path: path.to_owned(), der: der.to_vec() })
    }

    fn fingerprint(&self) -> String {
        sha256_hex(&self.der)
    }

    fn verify(&self, record: &str, signature: &[u8]) -> Result<(), Failure> {
        let point = self.der.get(P256.len()..).unwrap_or_default();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(record.as_bytes(), signature).map_err(
            |_| {
                let (path, fingerprint) = (self.path.display(), self.fingerprint());
                disagree(format!(
                    "the signature is not one of the last record by the key of {path}, SHA-256 {fingerprint}"
                ))
            },
        )
    }
}

/// A public key as it lies beside a journal, for `openssl` and for [`check`].
pub fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
