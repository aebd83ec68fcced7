//! The body of a response that the tool makes up.

use crate::units::Size;

/// The text that is asked for, or a cluster map of a size, as NotMyVbucket brings it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Body {
    #[default]
    None,
    Text(String),
    ClusterMap(usize),
}

/// The largest body that is made up.
const MOST: u64 = 1024 * 1024;

impl Body {
    pub(super) fn of(text: Option<&str>, size: Option<Size>) -> Self {
        match (text, size) {
            (Some(text), _) => Self::Text(text.to_owned()),
            (None, Some(Size(size))) => Self::ClusterMap(usize::try_from(size.min(MOST)).unwrap_or_default()),
            (None, None) => Self::None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::ClusterMap(size) => {
                let (head, tail) = ("{\"rev\":1,\"nodesExt\":[],\"vBucketServerMap\":{\"filler\":\"", "\"}}");
                let filler = size.saturating_sub(head.len() + tail.len());
                let mut map = Vec::with_capacity(*size);
                map.extend_from_slice(head.as_bytes());
                map.resize(head.len() + filler, b'x');
                map.extend_from_slice(tail.as_bytes());
                map
            }
        }
    }
}
