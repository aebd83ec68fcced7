use std::fmt;
use std::str::FromStr;

/// Declares the named values of a newtype, with its names in both directions. What has no name keeps its number.
macro_rules! named {
    ($type:ident($repr:ty), $($constant:ident = $value:literal $name:literal),+ $(,)?) => {
        #[allow(missing_docs)]
        impl $type {
            $(pub const $constant: Self = Self($value);)+

            /// Every value that has a name, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$constant),+];

            /// The name, if the value has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => f.pad(&format!("0x{:02x}", self.0)),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(super) use named;

/// A name or number that is none of the known ones.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {expected}, found '{found}'")]
pub struct UnknownName {
    /// What would have been right.
    pub expected: &'static str,
    /// What was given.
    pub found: String,
}

/// The operation of a request or response. Unknown ones survive as their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u8);

/// The operation of a server request or response (magics 0x82 and 0x83).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerOpcode(pub u8);

impl Opcode {
    /// Whether this is one of the DCP operations (0x50-0x67).
    pub const fn is_dcp(self) -> bool {
        matches!(self.0, 0x50..=0x67)
    }

    /// The name without its `DCP_`, as filters and `--messages` accept it.
    pub fn short_name(self) -> Option<&'static str> {
        self.name().map(|name| name.strip_prefix("DCP_").unwrap_or(name))
    }
}

impl FromStr for Opcode {
    type Err = UnknownName;

    /// Reads `DCP_PREPARE`, `prepare` (case and the prefix do not matter) or `0x60`. Where a plain opcode and a DCP one
    /// share a name, the short name is the DCP one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
            && let Ok(number) = u8::from_str_radix(digits, 16)
        {
            return Ok(Self(number));
        }
        let wanted = text.replace(['-', ' '], "_").to_ascii_uppercase();
        let squeezed = wanted.replace('_', "");
        Self::ALL
            .iter()
            .copied()
            .find(|o| o.is_dcp() && o.short_name() == Some(wanted.strip_prefix("DCP_").unwrap_or(&wanted)))
            .or_else(|| Self::ALL.iter().copied().find(|o| o.name() == Some(&wanted)))
            .or_else(|| {
                Self::ALL.iter().copied().find(|o| {
                    o.is_dcp() && o.short_name().is_some_and(|n| n.replace('_', "") == squeezed.replacen("DCP", "", 1))
                })
            })
            .ok_or_else(|| UnknownName {
                expected: "an opcode such as DCP_PREPARE, prepare or 0x60",
                found: text.to_owned(),
            })
    }
}

named! {
    ServerOpcode(u8),
    CLUSTERMAP_CHANGE_NOTIFICATION = 0x01 "ClustermapChangeNotification",
    AUTHENTICATE = 0x02 "Authenticate",
    ACTIVE_EXTERNAL_USERS = 0x03 "ActiveExternalUsers",
    GET_AUTHORIZATION = 0x04 "GetAuthorization",
}

named! {
    Opcode(u8),
    GET = 0x00 "GET",
    SET = 0x01 "SET",
    ADD = 0x02 "ADD",
    REPLACE = 0x03 "REPLACE",
    DELETE = 0x04 "DELETE",
    INCREMENT = 0x05 "INCREMENT",
    DECREMENT = 0x06 "DECREMENT",
    QUIT = 0x07 "QUIT",
    FLUSH = 0x08 "FLUSH",
    GETQ = 0x09 "GETQ",
    NOOP = 0x0a "NOOP",
    VERSION = 0x0b "VERSION",
    GETK = 0x0c "GETK",
    GETKQ = 0x0d "GETKQ",
    APPEND = 0x0e "APPEND",
    PREPEND = 0x0f "PREPEND",
    STAT = 0x10 "STAT",
    SETQ = 0x11 "SETQ",
    ADDQ = 0x12 "ADDQ",
    REPLACEQ = 0x13 "REPLACEQ",
    DELETEQ = 0x14 "DELETEQ",
    INCREMENTQ = 0x15 "INCREMENTQ",
    DECREMENTQ = 0x16 "DECREMENTQ",
    QUITQ = 0x17 "QUITQ",
    FLUSHQ = 0x18 "FLUSHQ",
    APPENDQ = 0x19 "APPENDQ",
    PREPENDQ = 0x1a "PREPENDQ",
    VERBOSITY = 0x1b "VERBOSITY",
    TOUCH = 0x1c "TOUCH",
    GAT = 0x1d "GAT",
    GATQ = 0x1e "GATQ",
    HELLO = 0x1f "HELLO",
    SASL_LIST_MECHS = 0x20 "SASL_LIST_MECHS",
    SASL_AUTH = 0x21 "SASL_AUTH",
    SASL_STEP = 0x22 "SASL_STEP",
    IOCTL_GET = 0x23 "IOCTL_GET",
    IOCTL_SET = 0x24 "IOCTL_SET",
    CONFIG_VALIDATE = 0x25 "CONFIG_VALIDATE",
    CONFIG_RELOAD = 0x26 "CONFIG_RELOAD",
    AUDIT_PUT = 0x27 "AUDIT_PUT",
    AUDIT_CONFIG_RELOAD = 0x28 "AUDIT_CONFIG_RELOAD",
    SHUTDOWN = 0x29 "SHUTDOWN",
    SET_BUCKET_THROTTLE_PROPERTIES = 0x2a "SET_BUCKET_THROTTLE_PROPERTIES",
    SET_BUCKET_DATA_LIMIT_EXCEEDED = 0x2b "SET_BUCKET_DATA_LIMIT_EXCEEDED",
    SET_NODE_THROTTLE_PROPERTIES = 0x2c "SET_NODE_THROTTLE_PROPERTIES",
    SET_ACTIVE_ENCRYPTION_KEYS = 0x2d "SET_ACTIVE_ENCRYPTION_KEYS",
    PRUNE_ENCRYPTION_KEYS = 0x2e "PRUNE_ENCRYPTION_KEYS",
    RGET = 0x30 "RGET",
    RSET = 0x31 "RSET",
    RSETQ = 0x32 "RSETQ",
    RAPPEND = 0x33 "RAPPEND",
    RAPPENDQ = 0x34 "RAPPENDQ",
    RPREPEND = 0x35 "RPREPEND",
    RPREPENDQ = 0x36 "RPREPENDQ",
    RDELETE = 0x37 "RDELETE",
    RDELETEQ = 0x38 "RDELETEQ",
    RINCR = 0x39 "RINCR",
    RINCRQ = 0x3a "RINCRQ",
    RDECR = 0x3b "RDECR",
    RDECRQ = 0x3c "RDECRQ",
    SET_VBUCKET = 0x3d "SET_VBUCKET",
    GET_VBUCKET = 0x3e "GET_VBUCKET",
    DEL_VBUCKET = 0x3f "DEL_VBUCKET",
    TAP_CONNECT = 0x40 "TAP_CONNECT",
    TAP_MUTATION = 0x41 "TAP_MUTATION",
    TAP_DELETE = 0x42 "TAP_DELETE",
    TAP_FLUSH = 0x43 "TAP_FLUSH",
    TAP_OPAQUE = 0x44 "TAP_OPAQUE",
    TAP_VBUCKET_SET = 0x45 "TAP_VBUCKET_SET",
    TAP_CHECKPOINT_START = 0x46 "TAP_CHECKPOINT_START",
    TAP_CHECKPOINT_END = 0x47 "TAP_CHECKPOINT_END",
    GET_ALL_VB_SEQNOS = 0x48 "GET_ALL_VB_SEQNOS",
    GET_EX = 0x49 "GET_EX",
    GET_EX_REPLICA = 0x4a "GET_EX_REPLICA",
    MUTATE_WITH_META = 0x4b "MUTATE_WITH_META",
    DCP_OPEN = 0x50 "DCP_OPEN",
    DCP_ADD_STREAM = 0x51 "DCP_ADD_STREAM",
    DCP_CLOSE_STREAM = 0x52 "DCP_CLOSE_STREAM",
    DCP_STREAM_REQ = 0x53 "DCP_STREAM_REQ",
    DCP_GET_FAILOVER_LOG = 0x54 "DCP_GET_FAILOVER_LOG",
    DCP_STREAM_END = 0x55 "DCP_STREAM_END",
    DCP_SNAPSHOT_MARKER = 0x56 "DCP_SNAPSHOT_MARKER",
    DCP_MUTATION = 0x57 "DCP_MUTATION",
    DCP_DELETION = 0x58 "DCP_DELETION",
    DCP_EXPIRATION = 0x59 "DCP_EXPIRATION",
    DCP_SET_VBUCKET_STATE = 0x5b "DCP_SET_VBUCKET_STATE",
    DCP_NOOP = 0x5c "DCP_NOOP",
    DCP_BUFFER_ACK = 0x5d "DCP_BUFFER_ACK",
    DCP_CONTROL = 0x5e "DCP_CONTROL",
    DCP_SYSTEM_EVENT = 0x5f "DCP_SYSTEM_EVENT",
    DCP_PREPARE = 0x60 "DCP_PREPARE",
    DCP_SEQNO_ACK = 0x61 "DCP_SEQNO_ACK",
    DCP_COMMIT = 0x62 "DCP_COMMIT",
    DCP_ABORT = 0x63 "DCP_ABORT",
    DCP_SEQNO_ADVANCED = 0x64 "DCP_SEQNO_ADVANCED",
    DCP_OSO_SNAPSHOT = 0x65 "DCP_OSO_SNAPSHOT",
    DCP_CACHE_TRANSFER = 0x66 "DCP_CACHE_TRANSFER",
    DCP_CACHE_TRANSFER_END = 0x67 "DCP_CACHE_TRANSFER_END",
    STOP_PERSISTENCE = 0x80 "STOP_PERSISTENCE",
    START_PERSISTENCE = 0x81 "START_PERSISTENCE",
    SET_PARAM = 0x82 "SET_PARAM",
    GET_REPLICA = 0x83 "GET_REPLICA",
    CREATE_BUCKET = 0x85 "CREATE_BUCKET",
    DELETE_BUCKET = 0x86 "DELETE_BUCKET",
    LIST_BUCKETS = 0x87 "LIST_BUCKETS",
    SELECT_BUCKET = 0x89 "SELECT_BUCKET",
    PAUSE_BUCKET = 0x8a "PAUSE_BUCKET",
    RESUME_BUCKET = 0x8b "RESUME_BUCKET",
    OBSERVE_SEQNO = 0x91 "OBSERVE_SEQNO",
    OBSERVE = 0x92 "OBSERVE",
    EVICT_KEY = 0x93 "EVICT_KEY",
    GET_LOCKED = 0x94 "GET_LOCKED",
    UNLOCK_KEY = 0x95 "UNLOCK_KEY",
    GET_FAILOVER_LOG = 0x96 "GET_FAILOVER_LOG",
    LAST_CLOSED_CHECKPOINT = 0x97 "LAST_CLOSED_CHECKPOINT",
    GET_META = 0xa0 "GET_META",
    GETQ_META = 0xa1 "GETQ_META",
    SET_WITH_META = 0xa2 "SET_WITH_META",
    SETQ_WITH_META = 0xa3 "SETQ_WITH_META",
    ADD_WITH_META = 0xa4 "ADD_WITH_META",
    ADDQ_WITH_META = 0xa5 "ADDQ_WITH_META",
    SNAPSHOT_VB_STATES = 0xa6 "SNAPSHOT_VB_STATES",
    VBUCKET_BATCH_COUNT = 0xa7 "VBUCKET_BATCH_COUNT",
    DEL_WITH_META = 0xa8 "DEL_WITH_META",
    DELQ_WITH_META = 0xa9 "DELQ_WITH_META",
    CREATE_CHECKPOINT = 0xaa "CREATE_CHECKPOINT",
    NOTIFY_VBUCKET_UPDATE = 0xac "NOTIFY_VBUCKET_UPDATE",
    ENABLE_TRAFFIC = 0xad "ENABLE_TRAFFIC",
    DISABLE_TRAFFIC = 0xae "DISABLE_TRAFFIC",
    IFCONFIG = 0xaf "IFCONFIG",
    CHANGE_VB_FILTER = 0xb0 "CHANGE_VB_FILTER",
    CHECKPOINT_PERSISTENCE = 0xb1 "CHECKPOINT_PERSISTENCE",
    RETURN_META = 0xb2 "RETURN_META",
    COMPACT_DB = 0xb3 "COMPACT_DB",
    SET_CLUSTER_CONFIG = 0xb4 "SET_CLUSTER_CONFIG",
    GET_CLUSTER_CONFIG = 0xb5 "GET_CLUSTER_CONFIG",
    GET_RANDOM_KEY = 0xb6 "GET_RANDOM_KEY",
    SEQNO_PERSISTENCE = 0xb7 "SEQNO_PERSISTENCE",
    GET_KEYS = 0xb8 "GET_KEYS",
    COLLECTIONS_SET_MANIFEST = 0xb9 "COLLECTIONS_SET_MANIFEST",
    COLLECTIONS_GET_MANIFEST = 0xba "COLLECTIONS_GET_MANIFEST",
    COLLECTIONS_GET_ID = 0xbb "COLLECTIONS_GET_ID",
    COLLECTIONS_GET_SCOPE_ID = 0xbc "COLLECTIONS_GET_SCOPE_ID",
    SET_DRIFT_COUNTER_STATE = 0xc1 "SET_DRIFT_COUNTER_STATE",
    GET_ADJUSTED_TIME = 0xc2 "GET_ADJUSTED_TIME",
    SUBDOC_GET = 0xc5 "SUBDOC_GET",
    SUBDOC_EXISTS = 0xc6 "SUBDOC_EXISTS",
    SUBDOC_DICT_ADD = 0xc7 "SUBDOC_DICT_ADD",
    SUBDOC_DICT_UPSERT = 0xc8 "SUBDOC_DICT_UPSERT",
    SUBDOC_DELETE = 0xc9 "SUBDOC_DELETE",
    SUBDOC_REPLACE = 0xca "SUBDOC_REPLACE",
    SUBDOC_ARRAY_PUSH_LAST = 0xcb "SUBDOC_ARRAY_PUSH_LAST",
    SUBDOC_ARRAY_PUSH_FIRST = 0xcc "SUBDOC_ARRAY_PUSH_FIRST",
    SUBDOC_ARRAY_INSERT = 0xcd "SUBDOC_ARRAY_INSERT",
    SUBDOC_ARRAY_ADD_UNIQUE = 0xce "SUBDOC_ARRAY_ADD_UNIQUE",
    SUBDOC_COUNTER = 0xcf "SUBDOC_COUNTER",
    SUBDOC_MULTI_LOOKUP = 0xd0 "SUBDOC_MULTI_LOOKUP",
    SUBDOC_MULTI_MUTATION = 0xd1 "SUBDOC_MULTI_MUTATION",
    SUBDOC_GET_COUNT = 0xd2 "SUBDOC_GET_COUNT",
    SUBDOC_REPLACE_BODY_WITH_XATTR = 0xd3 "SUBDOC_REPLACE_BODY_WITH_XATTR",
    RANGE_SCAN_CREATE = 0xda "RANGE_SCAN_CREATE",
    RANGE_SCAN_CONTINUE = 0xdb "RANGE_SCAN_CONTINUE",
    RANGE_SCAN_CANCEL = 0xdc "RANGE_SCAN_CANCEL",
    SCRUB = 0xf0 "SCRUB",
    ISASL_REFRESH = 0xf1 "ISASL_REFRESH",
    SSL_CERTS_REFRESH = 0xf2 "SSL_CERTS_REFRESH",
    GET_CMD_TIMER = 0xf3 "GET_CMD_TIMER",
    SET_CTRL_TOKEN = 0xf4 "SET_CTRL_TOKEN",
    GET_CTRL_TOKEN = 0xf5 "GET_CTRL_TOKEN",
    UPDATE_EXTERNAL_USER_PERMISSIONS = 0xf6 "UPDATE_EXTERNAL_USER_PERMISSIONS",
    RBAC_REFRESH = 0xf7 "RBAC_REFRESH",
    AUTH_PROVIDER = 0xf8 "AUTH_PROVIDER",
    DROP_PRIVILEGE = 0xfb "DROP_PRIVILEGE",
    ADJUST_TIMEOFDAY = 0xfc "ADJUST_TIMEOFDAY",
    EWOULDBLOCK_CTL = 0xfd "EWOULDBLOCK_CTL",
    GET_ERROR_MAP = 0xfe "GET_ERROR_MAP",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_form() {
        for text in ["DCP_PREPARE", "prepare", "dcp_prepare", "Prepare", "0x60"] {
            assert_eq!(text.parse(), Ok(Opcode::DCP_PREPARE), "{text}");
        }
        assert_eq!("SystemEvent".parse(), Ok(Opcode::DCP_SYSTEM_EVENT));
        assert_eq!("StreamEnd".parse(), Ok(Opcode::DCP_STREAM_END));
        assert_eq!("noop".parse(), Ok(Opcode::DCP_NOOP));
        assert_eq!("NOOP".parse(), Ok(Opcode::DCP_NOOP));
        assert_eq!("hello".parse(), Ok(Opcode::HELLO));
        assert!("nonsense".parse::<Opcode>().is_err());
        assert!("0x".parse::<Opcode>().is_err());
    }

    #[test]
    fn the_unknown_survives_as_its_number() {
        assert_eq!(Opcode(0x6f).to_string(), "0x6f");
        assert_eq!(Opcode(0x5a).name(), None);
        assert_eq!(ServerOpcode(0x01).to_string(), "ClustermapChangeNotification");
    }
}
