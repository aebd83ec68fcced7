//! The value of a system event in its two fixed layouts and as FlatBuffers (dcp-protocol.md §4.8).

use super::CollectionEvent;
use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::SystemEvent;
use super::SystemEventBody;
use super::check;
use super::flatbuffers;
use super::flatbuffers::Field;
use super::flatbuffers::Table;
use super::malformed::malformed;
use super::member::NAME;
use super::member::put;
use super::member::put_text;
use crate::wire::Frame;

/// Versions 0 and 1: manifest uid, scope id, collection id, max TTL, as far as the event has them.
pub(super) fn fixed(frame: &Frame<'_>, event: u32, version: u8) -> Result<SystemEventBody, Malformed> {
    if version == 1 && event != SystemEvent::BEGIN_COLLECTION {
        return Err(malformed!("expected system event version 1 only of event 0, found it of event {event}"));
    }
    let len = match event {
        SystemEvent::BEGIN_COLLECTION if version == 1 => 20,
        SystemEvent::BEGIN_COLLECTION | SystemEvent::END_COLLECTION => 16,
        SystemEvent::CREATE_SCOPE | SystemEvent::DROP_SCOPE => 12,
        _ => return Err(malformed!("expected system event {event} to have version 2, found {version}")),
    };
    let mut fields = check::value_of(frame, len)?;
    let (manifest_uid, scope_id) = (fields.u64(), fields.u32());
    Ok(match event {
        SystemEvent::BEGIN_COLLECTION => SystemEventBody::Collection(CollectionEvent {
            manifest_uid,
            scope_id,
            collection_id: fields.u32(),
            ttl_valid: version == 1,
            max_ttl: fields.u32(),
            ..CollectionEvent::default()
        }),
        SystemEvent::END_COLLECTION => SystemEventBody::DroppedCollection {
            manifest_uid,
            scope_id,
            collection_id: fields.u32(),
            system_collection: false,
        },
        SystemEvent::CREATE_SCOPE => SystemEventBody::Scope { manifest_uid, scope_id },
        _ => SystemEventBody::DroppedScope { manifest_uid, scope_id, system_scope: false },
    })
}

/// Version 2.
pub(super) fn table(event: u32, value: &[u8]) -> Result<SystemEventBody, Malformed> {
    let table = Table::root(value)?;
    let (manifest_uid, scope_id) = (table.u64(0)?, table.u32(1)?);
    Ok(match event {
        SystemEvent::END_COLLECTION => SystemEventBody::DroppedCollection {
            manifest_uid,
            scope_id,
            collection_id: table.u32(2)?,
            system_collection: table.bool(3)?,
        },
        SystemEvent::CREATE_SCOPE => {
            table.text(2)?;
            SystemEventBody::Scope { manifest_uid, scope_id }
        }
        SystemEvent::DROP_SCOPE => {
            SystemEventBody::DroppedScope { manifest_uid, scope_id, system_scope: table.bool(2)? }
        }
        _ => {
            table.text(5)?;
            SystemEventBody::Collection(CollectionEvent {
                manifest_uid,
                scope_id,
                collection_id: table.u32(2)?,
                ttl_valid: table.bool(3)?,
                max_ttl: table.u32(4)?,
                history: table.bool(6)?,
                default_collection_mvs: table.u64(7)?,
                metered: table.bool(8)?,
                flush_uid: table.u64(9)?,
            })
        }
    })
}

/// The value; what the version has no room for is left out.
pub(super) fn bytes(body: &SystemEventBody, version: u8, name: &[u8]) -> Vec<u8> {
    if version == 2 {
        return flatbuffers::write(&fields(body, name));
    }
    let mut to = Vec::with_capacity(20);
    to.extend(body.manifest_uid().to_be_bytes());
    to.extend(body.scope_id().to_be_bytes());
    to.extend(body.collection_id().into_iter().flat_map(u32::to_be_bytes));
    if let (SystemEventBody::Collection(collection), 1) = (body, version) {
        to.extend(collection.max_ttl.to_be_bytes());
    }
    to
}

fn fields<'a>(body: &SystemEventBody, name: &'a [u8]) -> Vec<Field<'a>> {
    let mut fields = vec![Field::U64(body.manifest_uid()), Field::U32(body.scope_id())];
    match *body {
        SystemEventBody::Collection(collection) => fields.extend([
            Field::U32(collection.collection_id),
            Field::Bool(collection.ttl_valid),
            Field::U32(collection.max_ttl),
            Field::Text(name),
            Field::Bool(collection.history),
            Field::U64(collection.default_collection_mvs),
            Field::Bool(collection.metered),
            Field::U64(collection.flush_uid),
        ]),
        SystemEventBody::DroppedCollection { collection_id, system_collection, .. } => {
            fields.extend([Field::U32(collection_id), Field::Bool(system_collection)]);
        }
        SystemEventBody::Scope { .. } => fields.push(Field::Text(name)),
        SystemEventBody::DroppedScope { system_scope, .. } => fields.push(Field::Bool(system_scope)),
    }
    fields
}

/// The members of the value, under the names that its version has for them.
pub(super) fn members(event: &SystemEvent, frame: Option<&Frame<'_>>, to: &mut impl MemberSink) {
    let table = event.version == 2;
    let manifest = if table { MemberName::uid } else { MemberName::manifest_uid };
    to.member(manifest, event.body.manifest_uid().into());
    to.member(MemberName::scope_id, event.body.scope_id().into());
    if let Some(id) = event.body.collection_id() {
        to.member(MemberName::collection_id, id.into());
    }
    match event.body {
        SystemEventBody::Collection(collection) if table => {
            put!(to, collection, ttl_valid, max_ttl, history, default_collection_mvs, metered, flush_uid);
        }
        SystemEventBody::Collection(collection) if event.version == 1 => put!(to, collection, max_ttl),
        SystemEventBody::DroppedCollection { system_collection, .. } if table => {
            to.member(MemberName::system_collection, system_collection.into());
        }
        SystemEventBody::DroppedScope { system_scope, .. } if table => {
            to.member(MemberName::system_scope, system_scope.into());
        }
        SystemEventBody::Collection(_)
        | SystemEventBody::DroppedCollection { .. }
        | SystemEventBody::Scope { .. }
        | SystemEventBody::DroppedScope { .. } => {}
    }
    let name = match event.event {
        SystemEvent::BEGIN_COLLECTION | SystemEvent::MODIFY_COLLECTION if table => 5,
        SystemEvent::CREATE_SCOPE if table => 2,
        _ => return,
    };
    if let Ok(name) = Table::root(frame.and_then(Frame::value).unwrap_or_default()).and_then(|table| table.text(name)) {
        put_text(NAME, name, to);
    }
}
