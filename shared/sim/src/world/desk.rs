//! What people and archives receive: pages, evidence, secrets; and the starting of executions.

use super::{Place, World};
use crate::trace::What;
use serde_json::Value;
use understudy_core::fault::Fault;
use understudy_core::ports::{
    Evidence, Executions, Page, Pager, Secrets, Signature, Signer, Started, Tokens, Written,
};
use understudy_core::sql::Secret;

/// Pager and secrets of the standby Region.
pub struct Desk<'a>(pub &'a World);

impl Pager for Desk<'_> {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        self.0.note(What::Paged(Box::new(page.clone())));
        self.0.reply(passed, ()).await
    }
}

/// The topic of the witness.
pub struct WitnessDesk<'a>(pub &'a World);

impl Pager for WitnessDesk<'_> {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        let passed = self.0.pass(Place::Witness, Place::Witness).await?;
        self.0.note(What::Paged(Box::new(page.clone())));
        self.0.reply(passed, ()).await
    }
}

impl Secrets for Desk<'_> {
    async fn login(&self, secret_id: &str) -> Result<Secret, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        let known = self.0.plan.stores.iter().find(|store| store.application.secret == secret_id);
        let Some(store) = known else {
            return Err(Fault::invalid(format!("secret `{secret_id}`: not found")));
        };
        let username = store.application.role.clone();
        self.0.reply(passed, Secret { username, password: "correct".to_owned() }).await
    }
}

/// The evidence bucket: an object is written once.
pub struct Bucket<'a>(pub &'a World);

impl Evidence for Bucket<'_> {
    async fn put_once(&self, key: &str, bytes: &[u8], _content_type: &str) -> Result<Written, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        let written = {
            let mut inner = self.0.inner();
            if inner.bucket_away {
                return Err(Fault::transient("the evidence bucket does not answer"));
            }
            match inner.objects.get(key) {
                Some(there) if there.as_slice() == bytes => Written::Done,
                Some(_) => Written::Conflict,
                None => {
                    inner.objects.insert(key.to_owned(), bytes.to_vec());
                    Written::Done
                }
            }
        };
        self.0.reply(passed, written).await
    }
}

/// The signing key. No two of its signatures are alike, as with ECDSA.
pub struct Notary<'a>(pub &'a World);

impl Signer for Notary<'_> {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        let number = {
            let mut inner = self.0.inner();
            inner.signatures += 1;
            inner.signatures
        };
        let bytes = [digest.as_slice(), &number.to_be_bytes()].concat();
        let signature = Signature { key: "notary".to_owned(), algorithm: "none".to_owned(), bytes };
        self.0.reply(passed, signature).await
    }
}

impl World {
    /// An object of the evidence bucket.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.borrow().objects.get(key).cloned()
    }
}

/// Step Functions, as far as starting goes: a name is used once.
pub struct Starter<'a>(pub &'a World);

impl Executions for Starter<'_> {
    async fn start(&self, name: &str, incident: &str) -> Result<Started, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        if !self.0.may_start() {
            return Err(Fault::transient(
                "Step Functions starts no more executions just now: its quota is used up",
            ));
        }
        let started = self.0.start_execution(name, incident);
        self.0.reply(passed, started).await
    }
}

impl Tokens for Starter<'_> {
    async fn send(&self, token: &str, output: &Value) -> Result<(), Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        {
            let mut inner = self.0.inner();
            if !inner.awaited.remove(token) {
                return Err(Fault::invalid("the task waits no longer"));
            }
            inner.sent.push((token.to_owned(), output.clone()));
        }
        self.0.reply(passed, ()).await
    }
}

impl World {
    /// From now on somebody may send `token`.
    pub(crate) fn await_token(&self, token: String) {
        self.inner().awaited.insert(token);
    }

    pub(crate) fn forget_token(&self, token: &str) {
        self.inner().awaited.remove(token);
    }

    pub(crate) fn take_sent(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.inner().sent)
    }

    fn start_execution(&self, name: &str, incident: &str) -> Started {
        let mut inner = self.inner();
        if inner.started.contains_key(name) {
            return Started::Already;
        }
        inner.started.insert(name.to_owned(), incident.to_owned());
        inner.to_start.push(name.to_owned());
        inner.note(What::Started { execution: name.to_owned() });
        Started::Now
    }

    pub(crate) fn take_started(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().to_start)
    }

    /// Every execution that was ever started, by name.
    pub fn executions(&self) -> Vec<String> {
        self.inner.borrow().started.keys().cloned().collect()
    }
}
