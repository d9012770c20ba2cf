//! Who vouches for a closed journal: nobody but the product, or a key.
//!
//! What is signed is the SHA-256 of the last record's bytes, which is the head of the chain. A signature differs each
//! time it is made and a report is written once, so the first one is kept in the state table, and whoever comes later
//! renders that one (L5). The same holds for the absence of a key. Nothing in here says whether a signature is right:
//! that is for those who read it.

use crate::fault::Fault;
use crate::journal::Stored;
use crate::ports::{Cells, Clock, Signer};
use crate::report::Attestation;
use crate::state::{Change, keys, load, update};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The attestation of one journal, as it was first had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The head that it is about.
    head_sha256: String,
    attestation: Attestation,
}

impl Kept {
    fn of(self, last: &Stored) -> Result<Attestation, Fault> {
        if self.head_sha256 == last.sha256() {
            return Ok(self.attestation);
        }
        let (kept, head) = (self.head_sha256, last.sha256());
        Err(Fault::bug(format!(
            "the attestation on record is of the head {kept}, and the journal's is {head}"
        )))
    }
}

/// The attestation of the journal of `execution` whose last record is `last`: the one that stands, else a new one.
pub async fn attest<S: Signer>(
    cells: &impl Cells,
    clock: &impl Clock,
    execution: &str,
    last: &Stored,
    signer: Option<&S>,
) -> Result<Attestation, Fault> {
    let key = keys::attestation(execution);
    if let Some(kept) = load::<Kept>(cells, &key).await? {
        return kept.of(last);
    }
    let attestation = match signer {
        Some(signer) => signed(clock, last, signer).await?,
        None => Attestation::SelfAttested,
    };
    let ours = Kept { head_sha256: last.sha256().to_owned(), attestation };
    // Whoever loses the race renders what the winner kept.
    let stands = update::<Kept, _>(cells, &key, |kept| {
        Ok(if kept.is_some() { Change::Keep } else { Change::Write(ours.clone()) })
    });
    let stands = stands.await?.ok_or_else(|| Fault::bug("an attestation vanished while it was kept"))?;
    Arc::unwrap_or_clone(stands).of(last)
}

async fn signed<S: Signer>(clock: &impl Clock, last: &Stored, signer: &S) -> Result<Attestation, Fault> {
    let digest: [u8; 32] = Sha256::digest(last.bytes().as_bytes()).into();
    let signature = signer.sign(&digest).await?;
    Ok(Attestation::Signed {
        key: signature.key,
        algorithm: signature.algorithm,
        signature: STANDARD.encode(&signature.bytes),
        signed_at: clock.now(),
    })
}
