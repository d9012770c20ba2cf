//! The evidence bucket: conditional puts only; what is there is compared, never overwritten.

use crate::fault::fault;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Evidence, Written};

#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    pub async fn new(region: &Region, name: String) -> Self {
        let config = crate::scaffold::sdk_config(region).await;
        // Names with the bucket in the path work with every endpoint, also with one given for tests.
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self { client: Client::from_conf(config), name }
    }

    async fn same(&self, key: &str, bytes: &[u8]) -> Result<Written, Fault> {
        let what = format!("read `{key}`");
        let found = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await
            .map_err(|e| fault(&what, &e))?;
        let stored = found.body.collect().await.map_err(|e| Fault::transient(format!("{what}: {e}")))?;
        Ok(if stored.into_bytes() == bytes { Written::Done } else { Written::Conflict })
    }
}

impl Evidence for Bucket {
    async fn put_once(&self, key: &str, bytes: &[u8], content_type: &str) -> Result<Written, Fault> {
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .if_none_match("*")
            .body(ByteStream::from(bytes.to_vec()));
        match put.send().await {
            Ok(_) => Ok(Written::Done),
            // Somebody, or an earlier delivery, put it: done if it is the same.
            Err(error)
                if matches!(error.code(), Some("PreconditionFailed" | "ConditionalRequestConflict")) =>
            {
                self.same(key, bytes).await
            }
            Err(error) => Err(fault(&format!("put `{key}`"), &error)),
        }
    }
}
