//! The key that vouches for a journal's head. It lives in KMS and cannot leave it.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::operation::get_public_key::GetPublicKeyError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Signature, Signer};

/// The one algorithm of a report's signature; the key's spec is `ECC_NIST_P256`.
pub const ALGORITHM: SigningAlgorithmSpec = SigningAlgorithmSpec::EcdsaSha256;

#[derive(Clone, Debug)]
pub struct SigningKey {
    client: Client,
    /// The key's ARN.
    arn: String,
}

impl SigningKey {
    /// `None` for an empty name: the stack has no key.
    pub async fn new(region: &Region, arn: String) -> Option<Self> {
        if arn.is_empty() {
            return None;
        }
        Some(Self::from_config(&crate::scaffold::sdk_config(region).await, arn))
    }

    pub fn from_config(config: &SdkConfig, arn: String) -> Self {
        Self { client: Client::new(config), arn }
    }

    /// The public half, as DER: a SubjectPublicKeyInfo. `None` where there is no such key.
    pub async fn public(&self) -> Result<Option<Vec<u8>>, Fault> {
        let what = format!("get the public key of `{}`", self.arn);
        match self.client.get_public_key().key_id(&self.arn).send().await {
            Ok(found) => {
                let der = found.public_key.ok_or_else(|| Fault::bug(format!("{what}: none came")))?;
                Ok(Some(der.into_inner()))
            }
            Err(error) if error.as_service_error().is_some_and(GetPublicKeyError::is_not_found_exception) => {
                Ok(None)
            }
            Err(error) => Err(fault(&what, &error)),
        }
    }
}

impl Signer for SigningKey {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, Fault> {
        let what = format!("sign with `{}`", self.arn);
        let call = self
            .client
            .sign()
            .key_id(&self.arn)
            .message_type(MessageType::Digest)
            .message(Blob::new(digest.as_slice()))
            .signing_algorithm(ALGORITHM);
        let signed = call.send().await.map_err(|error| fault(&what, &error))?;
        let bytes = signed.signature.ok_or_else(|| Fault::bug(format!("{what}: no signature came")))?;
        Ok(Signature {
            // KMS answers with the full ARN, whatever it was asked by.
            key: signed.key_id.unwrap_or_else(|| self.arn.clone()),
            algorithm: ALGORITHM.as_str().to_owned(),
            bytes: bytes.into_inner(),
        })
    }
}
