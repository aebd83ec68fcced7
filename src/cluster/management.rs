//! What of a node's management port is proxied: the documents that hold cluster maps, by GET.

use super::Directory;
use super::MAX_MAP_LEN;
use super::map::rewrite;

/// How a path of the management port holds maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Document {
    /// One document.
    Whole,
    /// One map after another as the cluster changes, each followed by [`MAP_END`].
    Stream,
}

/// What ends each map of a stream.
pub const MAP_END: &str = "\n\n\n\n";

impl Document {
    /// What a path (without its query) holds; `None` where that is not proxied.
    pub fn at(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
        match parts.as_slice() {
            ["pools"]
            | ["pools", "default" | "nodes"]
            | ["pools", "default", "nodeServices" | "buckets"]
            | ["pools", "default", "b" | "buckets", _] => Some(Self::Whole),
            ["poolsStreaming", "default"]
            | ["pools", "default", "nodeServicesStreaming"]
            | ["pools", "default", "bs" | "bucketsStreaming", _] => Some(Self::Stream),
            _ => None,
        }
    }
}

/// A stream of maps, rewritten as they come.
#[derive(Debug, Default)]
pub struct MapStream {
    pending: Vec<u8>,
}

impl MapStream {
    /// Takes in bytes as they come, and gives the maps that are whole with them, each with its end.
    ///
    /// # Errors
    /// A map cannot be rewritten, or is longer than [`MAX_MAP_LEN`]. The stream is of no use any more.
    pub fn feed(&mut self, bytes: &[u8], directory: &mut dyn Directory) -> Result<Vec<u8>, String> {
        let end = MAP_END.as_bytes();
        // The end of a map may have come in part before.
        let mut from = self.pending.len().saturating_sub(end.len());
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut done = 0;
        while let Some(at) = self.pending.get(from..).and_then(|rest| find(rest, end)) {
            let at = from.saturating_add(at);
            let map = self.pending.get(done..at).unwrap_or_default();
            out.extend_from_slice(&document(map, directory)?);
            out.extend_from_slice(end);
            done = at.saturating_add(end.len());
            from = done;
        }
        self.pending.drain(..done);
        if self.pending.len() > MAX_MAP_LEN {
            return Err(format!("expected a map of at most {MAX_MAP_LEN} bytes, found more without an end"));
        }
        Ok(out)
    }

    /// The stream has ended: what is left of it.
    ///
    /// # Errors
    /// It is no map that can be rewritten.
    pub fn end(self, directory: &mut dyn Directory) -> Result<Vec<u8>, String> {
        document(&self.pending, directory)
    }
}

/// A document of the management port, rewritten; one without anything in it stays as it is.
///
/// # Errors
/// It cannot be rewritten.
pub fn document(bytes: &[u8], directory: &mut dyn Directory) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("expected JSON, found other bytes: {error}"))?;
    if text.trim().is_empty() {
        return Ok(bytes.to_vec());
    }
    rewrite(text.trim(), directory).map(String::into_bytes)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Proxy;
    use super::super::tests::bucket_map;
    use super::*;

    #[test]
    fn what_holds_maps_is_proxied_and_nothing_else() {
        for path in ["/pools", "/pools/", "/pools/default", "/pools/nodes", "/pools/default/b/travel"] {
            assert_eq!(Document::at(path), Some(Document::Whole), "{path}");
        }
        for path in ["/pools/default/bs/travel", "/poolsStreaming/default", "/pools/default/nodeServicesStreaming"] {
            assert_eq!(Document::at(path), Some(Document::Stream), "{path}");
        }
        for path in
            ["", "/", "pools", "/settings/web", "/pools/default/buckets/travel/docs", "/pools/default/b", "//pools"]
        {
            assert_eq!(Document::at(path), None, "{path}");
        }
    }

    #[test]
    fn each_map_of_a_stream_is_rewritten_however_it_is_cut() {
        let map = bucket_map().to_string();
        let stream = format!("{map}\n\n\n\n\n\n\n\n{map}\n\n\n\n{{\"rev\":1}}");
        let mut proxy = Proxy::at("127.0.0.1", "node1.example:8091");
        let new = rewrite(&map, &mut proxy).unwrap();
        let expected = format!("{new}\n\n\n\n\n\n\n\n{new}\n\n\n\n{{\"rev\":1}}");
        for size in [1, 3, 1000, stream.len()] {
            let mut maps = MapStream::default();
            let mut out = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                out.extend(maps.feed(chunk, &mut proxy).unwrap());
            }
            out.extend(maps.end(&mut proxy).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_without_an_end_is_given_up() {
        let mut proxy = Proxy::at("127.0.0.1", "node1.example:8091");
        let mut maps = MapStream::default();
        let chunk = vec![b' '; 1 << 20];
        let fed = (0..20).find_map(|n| maps.feed(&chunk, &mut proxy).err().map(|error| (n, error)));
        assert!(matches!(fed, Some((8, why)) if why.contains("at most 8388608 bytes")));
        assert!(MapStream::default().feed(b"7\n\n\n\n", &mut proxy).is_err());
    }
}
