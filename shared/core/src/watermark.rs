//! What the primary last wrote, as its guard recorded it in the standby.

use crate::sql::Written;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One store's watermark; a newer one replaces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    pub store: String,
    pub written: Written,
    /// The guard's clock when it recorded this.
    pub recorded_at: Timestamp,
}
