use super::data::Kind;
use super::document::Item;
use crate::dcp::CollectionEvent;
use crate::dcp::SystemEvent;
use crate::dcp::SystemEventBody;

/// The system event of an item, if it is one: FlatBuffers where that was agreed, else the shortest fixed layout.
pub(super) const fn event(item: &Item, flatbuffers: bool) -> Option<SystemEvent> {
    let collection_id = item.outline.collection;
    let (event, version, body) = match item.outline.kind {
        Kind::CreateCollection { uid, scope, max_ttl } => (
            SystemEvent::BEGIN_COLLECTION,
            if max_ttl.is_some() { 1 } else { 0 },
            SystemEventBody::Collection(CollectionEvent {
                manifest_uid: uid,
                scope_id: scope,
                collection_id,
                ttl_valid: max_ttl.is_some(),
                max_ttl: match max_ttl {
                    Some(ttl) => ttl,
                    None => 0,
                },
                history: false,
                default_collection_mvs: 0,
                metered: false,
                flush_uid: 0,
            }),
        ),
        Kind::DropCollection { uid, scope } => (
            SystemEvent::END_COLLECTION,
            0,
            SystemEventBody::DroppedCollection {
                manifest_uid: uid,
                scope_id: scope,
                collection_id,
                system_collection: false,
            },
        ),
        Kind::CreateScope { uid, scope } => {
            (SystemEvent::CREATE_SCOPE, 0, SystemEventBody::Scope { manifest_uid: uid, scope_id: scope })
        }
        Kind::DropScope { uid, scope } => (
            SystemEvent::DROP_SCOPE,
            0,
            SystemEventBody::DroppedScope { manifest_uid: uid, scope_id: scope, system_scope: false },
        ),
        Kind::Mutation
        | Kind::Deletion
        | Kind::Expiration
        | Kind::Prepare { .. }
        | Kind::Commit { .. }
        | Kind::Abort { .. } => return None,
    };
    Some(SystemEvent { by_seqno: item.outline.seqno, event, version: if flatbuffers { 2 } else { version }, body })
}

#[cfg(test)]
mod tests {
    use super::super::data::outline;
    use super::super::document::Author;
    use super::*;
    use crate::wire::Frame;
    use crate::wire::Opaque;

    fn item(g: u64) -> Item {
        let mut item = Item::empty();
        item.outline = outline(g);
        let it = item.outline;
        Author { seed: 1, vbucket: 0 }.write(g, &it, &mut item);
        item
    }

    #[test]
    fn every_event_reads_back_in_both_forms() {
        for g in [1, 21, 33, 65, 64 * 32 + 21] {
            for flatbuffers in [false, true] {
                let item = item(g);
                let event = event(&item, flatbuffers).unwrap();
                let bytes = event.request(&item.key, 3, Opaque([1; 4])).build();
                assert_eq!(SystemEvent::parse(&Frame::whole(&bytes).unwrap()), Ok(event), "{g}");
            }
        }
        assert!(event(&item(2), true).is_none());
    }

    #[test]
    fn fixed_layouts_are_as_documented() {
        let value = |g| {
            let item = item(g);
            let event = event(&item, false).unwrap();
            let bytes = event.request(&item.key, 3, Opaque([1; 4])).build();
            (event.event, event.version, hex::encode(Frame::whole(&bytes).unwrap().value().unwrap()))
        };
        assert_eq!(value(33), (0, 0, "00000000000000030000000800000009".to_owned()));
        assert_eq!(value(65), (0, 1, "0000000000000004000000000000000a00015180".to_owned()));
        assert_eq!(value(21), (3, 0, "000000000000000200000008".to_owned()));
        assert_eq!(value(64 * 32 + 21).0, 1);
    }
}
