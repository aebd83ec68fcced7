use super::data::Kind;
use super::data::Outline;
use super::data::collection_name;
use super::data::split;

/// A seqno with its documents: what is sent.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) outline: Outline,
    /// The key, without a collection id; of a system event, the name.
    pub(super) key: Vec<u8>,
    pub(super) cas: u64,
    pub(super) rev_seqno: u64,
    pub(super) flags: u32,
    pub(super) expiration: u32,
    /// When it was deleted or expired, seconds since the epoch.
    pub(super) delete_time: u32,
    /// The body, without xattrs, not compressed.
    pub(super) body: Vec<u8>,
    /// The xattrs' pairs, without the section's length; empty for none.
    pub(super) xattrs: Vec<u8>,
    /// Whether the body is JSON.
    pub(super) json: bool,
    /// Whether it is stored as a Snappy block.
    pub(super) compressed: bool,
}

impl Item {
    /// An item of nothing, to be filled.
    pub(super) const fn empty() -> Self {
        Self {
            outline: Outline {
                seqno: 0,
                kind: Kind::Mutation,
                collection: 0,
                scope: 0,
                birth: 0,
                superseded: None,
                superseded_on_disk: None,
            },
            key: Vec::new(),
            cas: 0,
            rev_seqno: 0,
            flags: 0,
            expiration: 0,
            delete_time: 0,
            body: Vec::new(),
            xattrs: Vec::new(),
            json: false,
            compressed: false,
        }
    }
}

/// Seconds since the epoch at which the node's history begins.
const EPOCH: u64 = 1_700_000_000;

/// Makes the documents of one vbucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    pub(super) seed: u64,
    pub(super) vbucket: u16,
}

impl Author {
    /// Fills `item` with what the generator's seqno `g` wrote; its outline is left to the caller.
    pub(super) fn write(self, g: u64, it: &Outline, item: &mut Item) {
        let hash = self.hash(g);
        item.key.clear();
        item.body.clear();
        item.xattrs.clear();
        item.json = false;
        item.compressed = false;
        item.cas = cas(g);
        item.flags = 0x0200_0006;
        item.expiration = 0;
        item.delete_time = (EPOCH + g / 100) as u32;
        item.rev_seqno = if it.birth == g || it.birth == 0 { 1 } else { 2 };
        match it.kind {
            Kind::CreateCollection { .. } => item.key.extend_from_slice(collection_name(it.collection).as_bytes()),
            Kind::CreateScope { .. } => item.key.extend_from_slice(super::data::SCOPE_NAME.as_bytes()),
            Kind::DropCollection { .. } | Kind::DropScope { .. } => {}
            Kind::Mutation => {
                self.key(it.birth, &mut item.key);
                self.body(g, hash, item);
            }
            Kind::Prepare { deleted, .. } => {
                self.key(it.birth, &mut item.key);
                if !deleted {
                    self.body(g, hash, item);
                }
            }
            Kind::Commit { prepared, deleted } => {
                self.key(it.birth, &mut item.key);
                item.rev_seqno = if deleted { 2 } else { 1 };
                if !deleted {
                    self.body(prepared, self.hash(prepared), item);
                }
            }
            Kind::Abort { .. } | Kind::Expiration => self.key(it.birth, &mut item.key),
            Kind::Deletion => {
                self.key(it.birth, &mut item.key);
                if split(g).1 == 24 {
                    pair(b"_sync", br#"{"rev":"2-dead"}"#, &mut item.xattrs);
                }
            }
        }
        if let Kind::Commit { prepared, .. } = it.kind {
            item.cas = cas(prepared);
        }
    }

    /// The uuid of a branch of the vbucket's history.
    pub(super) const fn uuid(self, generation: u64) -> u64 {
        mix(self.seed ^ 0xfa11_0e00 ^ (self.vbucket as u64) << 8 ^ generation) >> 16 | 1 << 40
    }

    /// The key that the generator's seqno `birth` wrote first.
    pub(super) fn key(self, birth: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(b"order-");
        decimal(self.vbucket.into(), to);
        to.push(b'-');
        decimal(birth, to);
    }

    /// The seqno that wrote such a key first, if it is one of this vbucket.
    pub(super) fn birth(self, key: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(key).ok()?.strip_prefix("order-")?;
        let (vbucket, birth) = text.split_once('-')?;
        let (vbucket, birth): (u16, u64) = (vbucket.parse().ok()?, birth.parse().ok()?);
        let mut canonical = Vec::new();
        self.key(birth, &mut canonical);
        (vbucket == self.vbucket && canonical == key).then_some(birth)
    }

    fn body(self, g: u64, hash: u64, item: &mut Item) {
        let slot = split(g).1;
        let len = 24 + (hash % 360) as usize;
        item.json = slot != 5;
        item.compressed = matches!(slot, 6 | 22);
        if matches!(slot, 2 | 25) || g == 15 || g == 23 {
            item.expiration = (EPOCH + g / 100 + 3600) as u32;
        }
        if matches!(slot, 2 | 25) {
            pair(b"_sync", br#"{"rev":"1-cafe"}"#, &mut item.xattrs);
            pair(b"meta", br#"{"by":"node"}"#, &mut item.xattrs);
        }
        let text = text(hash, len);
        if !item.json {
            item.body.push(0xff);
            item.body.extend_from_slice(text);
            return;
        }
        item.body.extend_from_slice(br#"{"vbucket":"#);
        decimal(self.vbucket.into(), &mut item.body);
        item.body.extend_from_slice(br#","version":"#);
        decimal(g, &mut item.body);
        item.body.extend_from_slice(br#","text":""#);
        item.body.extend_from_slice(text);
        item.body.extend_from_slice(br#""}"#);
    }

    fn hash(self, g: u64) -> u64 {
        mix(self.seed ^ (u64::from(self.vbucket) << 48) ^ g)
    }
}

/// The CAS that a seqno gave: ever growing, never 0.
const fn cas(g: u64) -> u64 {
    (EPOCH * 1_000_000_000 + g * 1_000_000) & !0xffff
}

/// One round of splitmix64: the only randomness of the node.
pub(super) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn decimal(mut number: u64, to: &mut Vec<u8>) {
    let at = to.len();
    loop {
        to.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to[at..].reverse();
}

/// One xattr: its length, key, NUL, value, NUL (dcp-protocol.md §1.3).
fn pair(key: &[u8], value: &[u8], to: &mut Vec<u8>) {
    to.extend(((key.len() + value.len() + 2) as u32).to_be_bytes());
    to.extend_from_slice(key);
    to.push(0);
    to.extend_from_slice(value);
    to.push(0);
}

fn text(hash: u64, len: usize) -> &'static [u8] {
    let from = (hash >> 32) as usize % (TEXT.len() - len);
    &TEXT.as_bytes()[from..from + len]
}

const TEXT: &str = "the producer streams without waiting, and when the consumer loses the stream there are frames on \
    their way: a consumer answers each of them with an error response, because data frames are answered only on error. \
    these responses have no waiting request in a client that matches responses to requests, and their opaque is the \
    opaque of a stream that the producer may already have removed. in a cluster the frames go through a manager process \
    that has told the consumer to close before it told the producer. whatever comes after the end of a stream belongs \
    to nobody, and whoever keeps a ledger of what was sent, of what was acknowledged and of what is still in flight has \
    to keep it for them too, or the window closes for ever.";

#[cfg(test)]
mod tests {
    use super::super::data::outline;
    use super::*;

    fn item(author: Author, g: u64) -> Item {
        let mut item = Item::empty();
        item.outline = outline(g);
        let it = item.outline;
        author.write(g, &it, &mut item);
        item
    }

    #[test]
    fn the_same_seed_makes_the_same_documents_and_another_does_not() {
        let one = Author { seed: 1, vbucket: 3 };
        let two = Author { seed: 2, vbucket: 3 };
        assert_eq!(item(one, 77).body, item(one, 77).body);
        assert_ne!(item(one, 77).body, item(two, 77).body);
    }

    #[test]
    fn bodies_are_json_where_they_say_so_and_of_tens_to_hundreds_of_bytes() {
        let author = Author { seed: 5, vbucket: 0 };
        for g in 1..500 {
            let item = item(author, g);
            if item.json {
                serde_json::from_slice::<serde_json::Value>(&item.body).unwrap();
            }
            assert!(item.body.is_empty() || (20..600).contains(&item.body.len()), "{g}: {}", item.body.len());
        }
    }

    #[test]
    fn keys_are_read_back() {
        let author = Author { seed: 5, vbucket: 3 };
        let mut key = Vec::new();
        author.key(1234, &mut key);
        assert_eq!(key, b"order-3-1234");
        assert_eq!(author.birth(&key), Some(1234));
        for other in [&b"order-4-1234"[..], b"order-3-01234", b"order-3", b"x", b"\xff"] {
            assert_eq!(author.birth(other), None);
        }
    }
}
