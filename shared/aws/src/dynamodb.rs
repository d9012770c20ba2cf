//! The state table in DynamoDB: strongly consistent reads and conditional writes of versioned documents.
//!
//! Partition key `kind`, sort key `id`, attributes `version` and `body` (JSON text, so that what was written is
//! what is read). IAM restricts writers by the partition key.

use crate::fault::fault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use understudy_core::fault::Fault;
use understudy_core::plan::{Plan, Region};
use understudy_core::ports::{Cell, Cells, Key, Series, Written};

/// The state table of one Region.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The plan's table in `region`; the name is the same everywhere.
    pub async fn new(region: &Region, prefix: &str) -> Self {
        Self::from_config(&crate::scaffold::sdk_config(region).await, prefix)
    }

    pub fn from_config(config: &aws_config::SdkConfig, name: &str) -> Self {
        Self { client: Client::new(config), name: name.to_owned() }
    }

    /// The witness's table, where the plan has a witness.
    pub async fn witness(plan: &Plan, prefix: &str) -> Option<Self> {
        match &plan.regions.witness {
            Some(region) => Some(Self::new(region, prefix).await),
            None => None,
        }
    }
}

impl Cells for Table {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("kind", AttributeValue::S(key.kind.to_owned()))
            .key("id", text(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| fault(&format!("read `{}/{}` of `{}`", key.kind, key.id, self.name), &error))?;
        answer.item.map(|item| cell(&item)).transpose()
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let version = expected.unwrap_or(0).saturating_add(1);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("kind", AttributeValue::S(key.kind.to_owned()))
            .item("id", text(key))
            .item("version", AttributeValue::N(version.to_string()))
            .item("body", AttributeValue::S(body.to_string()))
            .expression_attribute_names("#version", "version");
        let put = match expected {
            None => put.condition_expression("attribute_not_exists(#version)"),
            Some(expected) => put
                .condition_expression("#version = :expected")
                .expression_attribute_values(":expected", AttributeValue::N(expected.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(Written::Done),
            Err(error)
                if error.as_service_error().is_some_and(aws_sdk_dynamodb::operation::put_item::PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Written::Conflict)
            }
            Err(error) => Err(fault(&format!("write `{}/{}` of `{}`", key.kind, key.id, self.name), &error)),
        }
    }

    async fn follow<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        series: &Series<'_>,
        last: u64,
    ) -> Result<Vec<Arc<T>>, Fault> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("kind = :kind AND id BETWEEN :first AND :last")
            .expression_attribute_values(":kind", AttributeValue::S(series.kind.to_owned()))
            .expression_attribute_values(":first", text(&series.key(last.saturating_add(1))))
            .expression_attribute_values(":last", text(&series.key(Series::LAST)))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        for seq in last.saturating_add(1).. {
            let key = series.key(seq);
            let what = || format!("read `{}/{}` of `{}`", key.kind, key.id, self.name);
            let Some(item) = pages.try_next().await.map_err(|error| fault(&what(), &error))? else { break };
            // A gap: what lies behind it came while this was read.
            if item.get("id") != Some(&text(&key)) {
                break;
            }
            let value = serde_json::from_value(cell(&item)?.body);
            let value = value.map_err(|error| Fault::bug(format!("{}: {error}", what())))?;
            found.push(Arc::new(value));
        }
        Ok(found)
    }
}

fn text(key: &Key) -> AttributeValue {
    AttributeValue::S(key.id.to_string())
}

fn cell(item: &HashMap<String, AttributeValue>) -> Result<Cell, Fault> {
    let wrong = |field: &str| Fault::bug(format!("state table: an item has no readable `{field}`"));
    let version = item
        .get("version")
        .and_then(|value| value.as_n().ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong("version"))?;
    let text = item.get("body").and_then(|value| value.as_s().ok()).ok_or_else(|| wrong("body"))?;
    let body = serde_json::from_str(text).map_err(|_| wrong("body"))?;
    Ok(Cell { version, body })
}
