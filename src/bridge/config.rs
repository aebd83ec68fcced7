use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::Hello;
use crate::journal::Side;
use crate::node::Credentials;

/// What two nodes are to be joined for, and how one gets in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node that streams.
    pub producer: End,
    /// The node that takes it in.
    pub consumer: End,
    /// The bucket, of the same name at both.
    pub bucket: String,
    /// The vbuckets to replicate.
    pub vbuckets: Vec<u16>,
    /// The name of both connections. A second connection of a name ends the first.
    pub name: String,
    /// What the consumer node is called where it acknowledges prepares.
    pub consumer_name: String,
    /// What logins are begun with: as [`crate::node::consumer::ClientConfig::nonce`].
    pub nonce: String,
    /// Make the vbuckets replicas at the consumer node first.
    pub set_replica: bool,
    /// Settled once the consumer node has all that the producer node had at the start.
    pub until_caught_up: bool,
}

/// One of the two nodes.
#[derive(Clone, Debug)]
pub struct End {
    /// Where it is, as told in messages.
    pub at: String,
    /// Who logs in there; `None` does not.
    pub login: Option<Credentials>,
}

/// What both ends must have agreed to alike, as it changes what is relayed.
pub(super) const SHARED: [u16; 3] = [Feature::COLLECTIONS, Feature::XATTR, Feature::SNAPPY];

impl Config {
    pub(super) const fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.consumer,
            Side::Upstream => &self.producer,
        }
    }

    /// HELLO to an end, with those of [`SHARED`] that are wanted.
    pub(super) fn hello(&self, to: Side, shared: impl IntoIterator<Item = u16>) -> Hello {
        let mut features = vec![Feature::XERROR, Feature::SELECT_BUCKET, Feature::JSON];
        // Where the end of a vbucket is asked for, prepares are part of it.
        if to == super::PRODUCER && self.until_caught_up {
            features.push(Feature::SYNC_REPLICATION);
        }
        features.extend(shared);
        Hello { agent: self.name.clone(), features }
    }

    /// DCP_OPEN at an end; `plain` leaves out what releases before 6.6 and 6.5 do not know.
    pub(super) fn open(&self, at: Side, xattrs: bool, plain: bool) -> dcp::Open {
        let mut flags = dcp::Open::INCLUDE_DELETE_TIMES;
        if at == super::CONSUMER {
            let consumer_name = (!plain).then(|| self.consumer_name.clone());
            return dcp::Open { name: self.name.clone(), flags, consumer_name, ..dcp::Open::default() };
        }
        flags |= dcp::Open::PRODUCER;
        if xattrs {
            flags |= dcp::Open::INCLUDE_XATTRS;
            flags |= if plain { 0 } else { dcp::Open::INCLUDE_DELETED_USER_XATTRS };
        }
        dcp::Open { name: self.name.clone(), flags, ..dcp::Open::default() }
    }
}
