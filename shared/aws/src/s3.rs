//! The evidence bucket: conditional puts only; what is there is compared, never overwritten.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Evidence, Written};

/// One version of an object, or a marker that hides the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub key: String,
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    pub async fn new(region: &Region, name: String) -> Self {
        Self::from_config(&crate::scaffold::sdk_config(region).await, name)
    }

    pub fn from_config(config: &SdkConfig, name: String) -> Self {
        // Names with the bucket in the path work with every endpoint, also with one given for tests.
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
        Self { client: Client::from_conf(config), name }
    }

    /// Every version and every delete marker under `prefix`, page by page, in the order of their keys.
    pub async fn versions(&self, prefix: &str) -> Result<Vec<Version>, Fault> {
        let mut all = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let call = self.client.list_object_versions().bucket(&self.name).prefix(prefix);
            let page = call.set_key_marker(key).set_version_id_marker(version).send().await;
            let page = page.map_err(|error| fault(&format!("list `{prefix}` of `{}`", self.name), &error))?;
            let versions = page.versions.unwrap_or_default().into_iter().filter_map(|one| one.key);
            all.extend(versions.map(|key| Version { key, deleted: false }));
            let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(|one| one.key);
            all.extend(markers.map(|key| Version { key, deleted: true }));
            if page.is_truncated != Some(true) || page.next_key_marker.is_none() {
                break;
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
        }
        all.sort();
        Ok(all)
    }

    pub async fn read(&self, key: &str) -> Result<Vec<u8>, Fault> {
        let what = format!("read `{key}`");
        let call = self.client.get_object().bucket(&self.name).key(key);
        let found = call.send().await.map_err(|error| fault(&what, &error))?;
        let stored = found.body.collect().await.map_err(|e| Fault::transient(format!("{what}: {e}")))?;
        Ok(stored.to_vec())
    }

    async fn same(&self, key: &str, bytes: &[u8]) -> Result<Written, Fault> {
        let stored = self.read(key).await?;
        Ok(if stored == bytes { Written::Done } else { Written::Conflict })
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
            Err(error) if error.code() == Some("PreconditionFailed") => self.same(key, bytes).await,
            Err(error) => Err(fault(&format!("put `{key}`"), &error)),
        }
    }
}
