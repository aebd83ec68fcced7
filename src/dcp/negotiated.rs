use crate::wire::UnknownName;

/// What the two ends of a connection have agreed on, as far as it changes how frames are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Negotiated {
    /// Keys carry a collection id (HELLO 0x12).
    pub collections: bool,
    /// Values may be Snappy blocks (HELLO 0x0a or 0x13).
    pub snappy: bool,
    /// Values may have an xattr section (HELLO 0x06).
    pub xattr: bool,
    /// Stream frames carry a stream id (control `enable_stream_id`).
    pub stream_id: bool,
    /// System events are FlatBuffers (control `flatbuffers_system_events`).
    pub flatbuffers: bool,
    /// Deletions have delete times (open flag 0x20).
    pub include_delete_times: bool,
}

impl Negotiated {
    /// What is agreed on, by name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.collections, "collections"),
            (self.snappy, "snappy"),
            (self.xattr, "xattr"),
            (self.stream_id, "stream_id"),
            (self.flatbuffers, "flatbuffers"),
            (self.include_delete_times, "include_delete_times"),
        ]
        .into_iter()
        .filter_map(|(agreed, name)| agreed.then_some(name))
    }

    /// What either says was agreed on.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            collections: self.collections || other.collections,
            snappy: self.snappy || other.snappy,
            xattr: self.xattr || other.xattr,
            stream_id: self.stream_id || other.stream_id,
            flatbuffers: self.flatbuffers || other.flatbuffers,
            include_delete_times: self.include_delete_times || other.include_delete_times,
        }
    }
}

impl std::str::FromStr for Negotiated {
    type Err = UnknownName;

    /// Reads a list such as `collections,snappy,stream_id`; `-` and `_` are the same, and an empty list is nothing.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut negotiated = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.replace('-', "_").to_ascii_lowercase().as_str() {
                "collections" => negotiated.collections = true,
                "snappy" => negotiated.snappy = true,
                "xattr" => negotiated.xattr = true,
                "stream_id" => negotiated.stream_id = true,
                "flatbuffers" => negotiated.flatbuffers = true,
                "include_delete_times" => negotiated.include_delete_times = true,
                _ => {
                    return Err(UnknownName {
                        expected: "any of collections, snappy, xattr, stream_id, flatbuffers, include_delete_times",
                        found: name.to_owned(),
                    });
                }
            }
        }
        Ok(negotiated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names() {
        let negotiated: Negotiated = "collections, stream-id,include_delete_times".parse().unwrap();
        assert!(negotiated.collections && negotiated.stream_id && negotiated.include_delete_times);
        assert!(!negotiated.snappy && !negotiated.xattr && !negotiated.flatbuffers);
        let names: Vec<_> = negotiated.names().collect();
        assert_eq!(names.join(",").parse(), Ok(negotiated));
        assert_eq!("".parse(), Ok(Negotiated::default()));
        assert!("snapy".parse::<Negotiated>().is_err());
    }
}
