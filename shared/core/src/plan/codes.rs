//! The stable codes of a plan's problems, one line each.
//!
//! A code never changes its meaning and is never reused: people search for it, and `--json` readers match on it.
//! No rule lives here.

macro_rules! codes {
    ($($name:ident = $id:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $id;)*

        /// Every code with its meaning, in order.
        pub const CODES: &[(&str, &str)] = &[$(($id, $meaning)),*];
    };
}

codes! {
    // The text.
    SYNTAX = "PL-01", "the file is not YAML";
    TOO_LARGE = "PL-02", "the file or a line of it is longer, or nested deeper, than any plan needs";
    FORBIDDEN_YAML = "PL-03", "an anchor, alias, tag, merge key or second document: a plan must read as it stands";
    CHARACTER = "PL-04", "a character that cannot be seen, or a tab as indentation";
    SECRET = "PL-05", "something shaped like a secret; plans are committed and copied";

    // The shape.
    FORMAT = "PL-10", "the format version is not one that this build reads";
    UNKNOWN_FIELD = "PL-11", "a field that plans do not have";
    MISSING_FIELD = "PL-12", "a required field is missing";
    DUPLICATE_FIELD = "PL-13", "a field is given twice";
    WRONG_TYPE = "PL-14", "a value of the wrong type";
    EMPTY_LIST = "PL-15", "a list that needs at least one entry is empty";
    REPEATED = "PL-16", "two entries that must differ are the same";

    // Single values.
    DURATION = "PL-20", "not a duration with a unit";
    DURATION_RANGE = "PL-21", "a duration of zero, over 400 days, or impossible for this field";
    NUMBER_RANGE = "PL-22", "a number outside its range";
    CHOICE = "PL-23", "not one of the words that this field knows";
    NAME = "PL-24", "not a usable name";
    REGION = "PL-25", "not the name of an AWS Region";
    TEXT = "PL-26", "a text that is empty, too long or broken over lines";
    HOST = "PL-27", "not a host name or IP address";
    URL = "PL-28", "not a usable http or https address";
    RECORD = "PL-29", "not a usable DNS record name";
    AWS_ID = "PL-30", "not the identifier of an AWS resource";
    SQL_NAME = "PL-31", "not a plain PostgreSQL identifier or `schema.table`";
    PATH = "PL-32", "not a path that begins with `/`";
    DATE = "PL-33", "not a calendar date, time of day or instant";
    TIME_ZONE = "PL-34", "not a time zone of the IANA database";
    SCHEDULE = "PL-35", "not a schedule that EventBridge Scheduler takes";

    // Values beside each other.
    REGIONS_DIFFER = "PL-40", "primary, standby and witness are not three different Regions";
    WINDOW_TICKS = "PL-41", "the detection window holds fewer than two looks";
    VOTE_AGE = "PL-42", "a vote may be too old before the next look renews it";
    PROBE_TIMEOUT = "PL-43", "a probe may outlast the time to the next look";
    LEASE_TTL = "PL-44", "the lease is shorter than four looks";
    COMMIT_MARGIN = "PL-45", "the commit margin is not shorter than the lease";
    LAG_ORDER = "PL-46", "lag thresholds are not typical <= warn <= block";
    QUORUM_VOTES = "PL-47", "the quorum asks for more votes than there are voters";
    FENCE_UNARMED = "PL-48", "`on_loss: fence` without an arming block";
    FENCE_UNWITNESSED = "PL-49", "`on_loss: fence` without a witness";
    SHADOW_CHOICE = "PL-50", "arming gives not exactly one of `shadow_days` and `shadow_waived`";
    SHADOW_DAYS = "PL-51", "fewer than 30 shadow days";
    WAIVER_REASON = "PL-52", "a shadow period is waived without a reason worth printing";
    APPLICATION_WRITER = "PL-53", "the application's role is not among the writer roles";
    OPERATOR_WRITER = "PL-54", "the operator's role is a writer role";
    SAME_ADDRESS = "PL-55", "primary and standby are the same address";
    ENDPOINTS_DIFFER = "PL-56", "primary and standby differ in scheme or port";
    VERDICT_IS_RECORD = "PL-57", "the verdict record is the public record";
    CONFIRM_TIMEOUT = "PL-58", "confirmation is given up before the hold can end";
    CAPACITY_UNDO = "PL-59", "a capacity hook has no undo";
    REHEARSAL_NAME = "PL-60", "a plan's name does not fit its environment, or leaves no room for its rehearsal's";
    REHEARSAL_COVERAGE = "PL-61", "the rehearsal does not stand in for exactly what the plan names";
    REHEARSAL_SHARED = "PL-62", "the rehearsal names something of production's";
    TIER_UNKNOWN = "PL-63", "a service names a tier that the plan does not have";
    NO_CALENDAR = "PL-64", "a field speaks of sessions, and the plan has no calendar";
    MAINTENANCE_ORDER = "PL-65", "a maintenance window ends before it begins";
    APPROVERS_FEW = "PL-66", "more approvals are asked for than roles are named";
    ESCALATION_ORDER = "PL-67", "a level of escalation comes before the one above it";
    SHIPPED_EVERY = "PL-68", "a store that is shipped in pieces, and not one other, says how often";
    HOOKS_OUTLAST = "PL-69", "the hooks of one moment may outlast the step that calls them";
    STORE_OPTIONAL = "PL-70", "a store that would be promoted is optional: nothing arms or fences it";
    LOOK_TICK = "PL-71", "a look of its own is not shorter than the tick, or shorter than a second";
}
