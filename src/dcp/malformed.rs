/// Why a frame does not decode: what was expected and what was found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Makes the error of a frame that does not decode, formatted as `format!` does.
macro_rules! malformed {
    ($($text:tt)+) => {
        $crate::dcp::Malformed(format!($($text)+))
    };
}
pub(super) use malformed;
