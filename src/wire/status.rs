use std::fmt;
use std::str::FromStr;

use super::opcode::UnknownName;
use super::opcode::named;

/// The status of a response, named as in status-codes.md. Unknown ones survive as their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u16);

impl FromStr for Status {
    type Err = UnknownName;

    /// Reads `KeyEnoent`, `key_enoent` or `0x01`; case and underscores do not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
            && let Ok(number) = u16::from_str_radix(digits, 16)
        {
            return Ok(Self(number));
        }
        let wanted = text.replace('_', "").to_ascii_lowercase();
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.name().is_some_and(|name| name.to_ascii_lowercase() == wanted))
            .ok_or_else(|| UnknownName {
                expected: "a status such as KeyEnoent, key_enoent or 0x01",
                found: text.to_owned(),
            })
    }
}

named! {
    Status(u16),
    SUCCESS = 0x00 "Success",
    KEY_ENOENT = 0x01 "KeyEnoent",
    KEY_EEXISTS = 0x02 "KeyEexists",
    E2BIG = 0x03 "E2big",
    EINVAL = 0x04 "Einval",
    NOT_STORED = 0x05 "NotStored",
    DELTA_BADVAL = 0x06 "DeltaBadval",
    NOT_MY_VBUCKET = 0x07 "NotMyVbucket",
    NO_BUCKET = 0x08 "NoBucket",
    LOCKED = 0x09 "Locked",
    DCP_STREAM_NOT_FOUND = 0x0a "DcpStreamNotFound",
    OPAQUE_NO_MATCH = 0x0b "OpaqueNoMatch",
    EWOULD_THROTTLE = 0x0c "EWouldThrottle",
    ECONFIG_ONLY = 0x0d "EConfigOnly",
    NOT_LOCKED = 0x0e "NotLocked",
    CAS_VALUE_INVALID = 0x0f "CasValueInvalid",
    AUTH_STALE = 0x1f "AuthStale",
    AUTH_ERROR = 0x20 "AuthError",
    AUTH_CONTINUE = 0x21 "AuthContinue",
    ERANGE = 0x22 "Erange",
    ROLLBACK = 0x23 "Rollback",
    EACCESS = 0x24 "Eaccess",
    NOT_INITIALIZED = 0x25 "NotInitialized",
    ENCRYPTION_KEY_NOT_AVAILABLE = 0x26 "EncryptionKeyNotAvailable",
    CHECKSUM_MISMATCH = 0x27 "ChecksumMismatch",
    EXPIRY_OVERFLOW = 0x28 "ExpiryOverflow",
    LOCK_EXPIRY_OVERFLOW = 0x29 "LockExpiryOverflow",
    RATE_LIMITED_NETWORK_INGRESS = 0x30 "RateLimitedNetworkIngress",
    RATE_LIMITED_NETWORK_EGRESS = 0x31 "RateLimitedNetworkEgress",
    RATE_LIMITED_MAX_CONNECTIONS = 0x32 "RateLimitedMaxConnections",
    RATE_LIMITED_MAX_COMMANDS = 0x33 "RateLimitedMaxCommands",
    BUCKET_SIZE_LIMIT_EXCEEDED = 0x35 "BucketSizeLimitExceeded",
    BUCKET_RESIDENT_RATIO_TOO_LOW = 0x36 "BucketResidentRatioTooLow",
    BUCKET_DATA_SIZE_TOO_BIG = 0x37 "BucketDataSizeTooBig",
    BUCKET_DISK_SPACE_TOO_LOW = 0x38 "BucketDiskSpaceTooLow",
    BUCKET_PAUSED = 0x50 "BucketPaused",
    CANCELLED = 0x51 "Cancelled",
    UNKNOWN_FRAME_INFO = 0x80 "UnknownFrameInfo",
    UNKNOWN_COMMAND = 0x81 "UnknownCommand",
    ENOMEM = 0x82 "Enomem",
    NOT_SUPPORTED = 0x83 "NotSupported",
    EINTERNAL = 0x84 "Einternal",
    EBUSY = 0x85 "Ebusy",
    ETMPFAIL = 0x86 "Etmpfail",
    XATTR_EINVAL = 0x87 "XattrEinval",
    UNKNOWN_COLLECTION = 0x88 "UnknownCollection",
    NO_COLLECTIONS_MANIFEST = 0x89 "NoCollectionsManifest",
    CANNOT_APPLY_COLLECTIONS_MANIFEST = 0x8a "CannotApplyCollectionsManifest",
    UNKNOWN_SCOPE = 0x8c "UnknownScope",
    DCP_STREAM_ID_INVALID = 0x8d "DcpStreamIdInvalid",
    DURABILITY_INVALID_LEVEL = 0xa0 "DurabilityInvalidLevel",
    DURABILITY_IMPOSSIBLE = 0xa1 "DurabilityImpossible",
    SYNC_WRITE_IN_PROGRESS = 0xa2 "SyncWriteInProgress",
    SYNC_WRITE_AMBIGUOUS = 0xa3 "SyncWriteAmbiguous",
    SYNC_WRITE_RE_COMMIT_IN_PROGRESS = 0xa4 "SyncWriteReCommitInProgress",
    RANGE_SCAN_CANCELLED = 0xa5 "RangeScanCancelled",
    RANGE_SCAN_MORE = 0xa6 "RangeScanMore",
    RANGE_SCAN_COMPLETE = 0xa7 "RangeScanComplete",
    VB_UUID_NOT_EQUAL = 0xa8 "VbUuidNotEqual",
    SUBDOC_PATH_ENOENT = 0xc0 "SubdocPathEnoent",
    SUBDOC_PATH_MISMATCH = 0xc1 "SubdocPathMismatch",
    SUBDOC_PATH_EINVAL = 0xc2 "SubdocPathEinval",
    SUBDOC_PATH_E2BIG = 0xc3 "SubdocPathE2big",
    SUBDOC_DOC_E2DEEP = 0xc4 "SubdocDocE2deep",
    SUBDOC_VALUE_CANTINSERT = 0xc5 "SubdocValueCantinsert",
    SUBDOC_DOC_NOT_JSON = 0xc6 "SubdocDocNotJson",
    SUBDOC_NUM_ERANGE = 0xc7 "SubdocNumErange",
    SUBDOC_DELTA_EINVAL = 0xc8 "SubdocDeltaEinval",
    SUBDOC_PATH_EEXISTS = 0xc9 "SubdocPathEexists",
    SUBDOC_VALUE_ETOODEEP = 0xca "SubdocValueEtoodeep",
    SUBDOC_INVALID_COMBO = 0xcb "SubdocInvalidCombo",
    SUBDOC_MULTI_PATH_FAILURE = 0xcc "SubdocMultiPathFailure",
    SUBDOC_SUCCESS_DELETED = 0xcd "SubdocSuccessDeleted",
    SUBDOC_XATTR_INVALID_FLAG_COMBO = 0xce "SubdocXattrInvalidFlagCombo",
    SUBDOC_XATTR_INVALID_KEY_COMBO = 0xcf "SubdocXattrInvalidKeyCombo",
    SUBDOC_XATTR_UNKNOWN_MACRO = 0xd0 "SubdocXattrUnknownMacro",
    SUBDOC_XATTR_UNKNOWN_VATTR = 0xd1 "SubdocXattrUnknownVattr",
    SUBDOC_XATTR_CANT_MODIFY_VATTR = 0xd2 "SubdocXattrCantModifyVattr",
    SUBDOC_MULTI_PATH_FAILURE_DELETED = 0xd3 "SubdocMultiPathFailureDeleted",
    SUBDOC_INVALID_XATTR_ORDER = 0xd4 "SubdocInvalidXattrOrder",
    SUBDOC_XATTR_UNKNOWN_VATTR_MACRO = 0xd5 "SubdocXattrUnknownVattrMacro",
    SUBDOC_CAN_ONLY_REVIVE_DELETED_DOCUMENTS = 0xd6 "SubdocCanOnlyReviveDeletedDocuments",
    SUBDOC_DELETED_DOCUMENT_CANT_HAVE_VALUE = 0xd7 "SubdocDeletedDocumentCantHaveValue",
    SUBDOC_FIELD_NOT_BINARY_VALUE = 0xd8 "SubdocFieldNotBinaryValue",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_form() {
        for text in ["KeyEnoent", "key_enoent", "0x01", "KEY_ENOENT"] {
            assert_eq!(text.parse(), Ok(Status::KEY_ENOENT), "{text}");
        }
        assert!("0x1ffff".parse::<Status>().is_err());
    }

    #[test]
    fn the_unknown_survives_as_its_number() {
        assert_eq!(Status(0x7f).to_string(), "0x7f");
        assert_eq!(Status(0x49).to_string(), "0x49");
        assert_eq!(Status(0xff01).to_string(), "0xff01");
        assert_eq!(Status(0x0a).to_string(), "DcpStreamNotFound");
    }
}
