//! Journals with everything beside them, and each thing that may be wrong with that.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::journal::check_folder;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use tempfile::TempDir;
use understudy_core::journal::{Entry, GENESIS};
use understudy_core::run::{End, Kind};

const SAMPLE: &str = include_str!("../../../../tests/reports/recovered.json");

fn chain(cause: &str) -> Vec<Stored> {
    let accepted = Entry::Accepted {
        incident: "i-1".to_owned(),
        attempt: 1,
        kind: Kind::Failover,
        asked: false,
        continues: None,
        accepted_at: Timestamp::UNIX_EPOCH,
        hint: "tick".to_owned(),
        onset: None,
        votes: Vec::new(),
        keepers: Vec::new(),
    };
    let closed = Entry::Closed { end: End::Recovered, cause: cause.to_owned() };
    let mut chain: Vec<Stored> = Vec::new();
    for (seq, entry) in (1..).zip([accepted, closed]) {
        let record = Record {
            plan: "financial-rag".to_owned(),
            execution: "i-1-a1".to_owned(),
            seq,
            at: Timestamp::UNIX_EPOCH,
            writer: "report-writer".to_owned(),
            plan_digest: "d1".to_owned(),
            prev: chain.last().map_or(GENESIS.to_owned(), |stored| stored.sha256().to_owned()),
            entry,
        };
        chain.push(Stored::of(serde_json::to_string(&record).unwrap()));
    }
    chain
}

/// A key as KMS would hold it.
struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    fn new() -> Self {
        let random = SystemRandom::new();
        let kept = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, kept.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn pem(&self) -> String {
        pem(&[P256.as_slice(), self.pair.public_key().as_ref()].concat())
    }

    fn sign(&self, record: &str) -> Vec<u8> {
        self.pair.sign(&self.random, record.as_bytes()).unwrap().as_ref().to_vec()
    }
}

/// A folder with all that an export of a signed journal leaves.
struct Case {
    folder: TempDir,
    key: Key,
    report: Report,
}

impl Case {
    fn new() -> Self {
        let (key, chain) = (Key::new(), chain("success has lasted"));
        let last = chain.last().unwrap();
        let bytes = key.sign(last.bytes());
        let mut report: Report = serde_json::from_str(SAMPLE).unwrap();
        report.plan = "financial-rag".to_owned();
        report.execution = "i-1-a1".to_owned();
        report.journal.records = 2;
        report.journal.head_sha256.replace_range(.., last.sha256());
        report.attestation = Attestation::Signed {
            key: "arn:aws:kms:us-west-2:000000000000:key/k".to_owned(),
            algorithm: ALGORITHM.to_owned(),
            signature: STANDARD.encode(&bytes),
            signed_at: Timestamp::UNIX_EPOCH,
        };
        let case = Self { folder: tempfile::tempdir().unwrap(), key, report };
        case.put_chain(&chain);
        case.put(HEAD_SIGNATURE, &bytes);
        case.put(PUBLIC_KEY, case.key.pem().as_bytes());
        case.put_report();
        case
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn put_chain(&self, chain: &[Stored]) {
        for (seq, stored) in (1..).zip(chain) {
            self.put(&format!("{seq:06}.json"), stored.bytes().as_bytes());
        }
    }

    fn put_report(&self) {
        self.put(REPORT, serde_json::to_string(&self.report).unwrap().as_bytes());
    }

    fn unsign(&mut self) {
        self.report.attestation = Attestation::SelfAttested;
        self.put_report();
        self.remove(HEAD_SIGNATURE);
    }

    fn check(&self) -> Code {
        self.check_by(None)
    }

    /// As with `--public-key`.
    fn check_with(&self, key: &Key) -> Code {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), key.pem()).unwrap();
        self.check_by(Some(file.path()))
    }

    fn check_by(&self, given: Option<&Path>) -> Code {
        check_folder(self.folder.path(), given).map_or_else(|failure| failure.code(), |(code, _)| code)
    }
}

#[test]
fn a_good_signature_passes_by_either_key() {
    let case = Case::new();
    assert_eq!(case.check(), Code::Ok);
    assert_eq!(case.check_with(&case.key), Code::Ok);
}

#[test]
fn records_alone_are_checked_as_a_chain() {
    let case = Case::new();
    for name in [REPORT, HEAD_SIGNATURE, PUBLIC_KEY] {
        case.remove(name);
    }
    assert_eq!(case.check(), Code::Ok);
    assert_eq!(case.check_with(&case.key), Code::Refused, "who brings a key wants a signature");
}

#[test]
fn a_signature_without_a_report_is_checked_too() {
    let case = Case::new();
    case.remove(REPORT);
    assert_eq!(case.check(), Code::Ok);
    assert_eq!(case.check_with(&Key::new()), Code::Disagreement);
}

#[test]
fn a_changed_record_breaks_the_chain() {
    let case = Case::new();
    let first = chain("").swap_remove(0);
    case.put("000001.json", first.bytes().replace("tick", "alarm").as_bytes());
    assert_eq!(case.check(), Code::Disagreement);
}

/// Somebody who can write everything but the key: the last record, and a report of it.
#[test]
fn a_forged_ending_needs_the_key() {
    let mut case = Case::new();
    let forged = chain("nothing was lost at all");
    case.put_chain(&forged);
    assert_eq!(case.check(), Code::Disagreement, "the report names another head");
    case.report.journal.head_sha256.replace_range(.., forged.last().unwrap().sha256());
    case.put_report();
    assert_eq!(case.check(), Code::Disagreement, "the signature is of another record");
    // With a key of one's own the folder fits together; the owner's key tells.
    let own = Key::new();
    let bytes = own.sign(forged.last().unwrap().bytes());
    if let Attestation::Signed { signature, .. } = &mut case.report.attestation {
        *signature = STANDARD.encode(&bytes);
    }
    case.put_report();
    case.put(HEAD_SIGNATURE, &bytes);
    case.put(PUBLIC_KEY, own.pem().as_bytes());
    assert_eq!(case.check(), Code::Ok);
    assert_eq!(case.check_with(&case.key), Code::Disagreement);
    case.unsign();
    assert_eq!(case.check_with(&case.key), Code::Refused, "a signature that is gone is not passed over");
}

#[test]
fn a_missing_tail_is_seen_by_the_report() {
    let case = Case::new();
    case.remove("000002.json");
    assert_eq!(case.check(), Code::Disagreement);
}

#[test]
fn a_report_of_another_execution_is_none_of_this_one() {
    let mut case = Case::new();
    case.report.execution = "i-2-a1".to_owned();
    case.put_report();
    assert_eq!(case.check(), Code::Disagreement);
}

#[test]
fn a_changed_signature_is_a_disagreement() {
    let mut case = Case::new();
    let mut bytes = decoded(&case.report.attestation).unwrap();
    let last = bytes.last_mut().unwrap();
    *last ^= 1;
    case.put(HEAD_SIGNATURE, &bytes);
    assert_eq!(case.check(), Code::Disagreement, "the file and the report differ");
    if let Attestation::Signed { signature, .. } = &mut case.report.attestation {
        *signature = STANDARD.encode(&bytes);
    }
    case.put_report();
    assert_eq!(case.check(), Code::Disagreement, "both were changed");
}

#[test]
fn a_signature_that_the_report_denies_is_a_disagreement() {
    let mut case = Case::new();
    case.report.attestation = Attestation::SelfAttested;
    case.put_report();
    assert_eq!(case.check(), Code::Disagreement);
    case.unsign();
    assert_eq!(case.check(), Code::Ok);
}

#[test]
fn without_a_key_the_signature_counts_as_not_checked() {
    let case = Case::new();
    case.remove(PUBLIC_KEY);
    assert_eq!(case.check(), Code::Refused);
    assert_eq!(case.check_with(&case.key), Code::Ok);
}

#[test]
fn a_wrong_key_is_a_disagreement_and_no_key_is_bad_input() {
    let case = Case::new();
    assert_eq!(case.check_with(&Key::new()), Code::Disagreement);
    case.put(PUBLIC_KEY, Key::new().pem().as_bytes());
    assert_eq!(case.check(), Code::Disagreement);
    case.put(PUBLIC_KEY, b"not a key");
    assert_eq!(case.check(), Code::BadInput);
    case.put(PUBLIC_KEY, pem(&[0x30, 0x59, 1, 2, 3]).as_bytes());
    assert_eq!(case.check(), Code::BadInput, "another kind of key");
    assert_eq!(case.check_by(Some(Path::new("/nowhere/key.pem"))), Code::NotAvailable);
}

#[test]
fn another_algorithm_is_not_taken_for_this_one() {
    let mut case = Case::new();
    if let Attestation::Signed { algorithm, .. } = &mut case.report.attestation {
        *algorithm = "RSASSA_PSS_SHA_256".to_owned();
    }
    case.put_report();
    assert_eq!(case.check(), Code::BadInput);
}

#[test]
fn files_that_are_no_records_are_left_alone() {
    let case = Case::new();
    case.put("notes.json", b"{}");
    case.put("000003.json.bak", b"{}");
    assert_eq!(case.check(), Code::Ok);
}
