use std::collections::BTreeSet;

use super::auth;
use super::auth::Account;
use super::auth::Outcome;
use super::auth::Scram;
use super::bucket::Bucket;
use super::config::Config;
use super::document::mix;
use super::error_map;
use super::kv;
use super::manifest;
use super::producer::Reply;
use super::producer::answer;
use super::states;
use super::stats;
use crate::Timestamp;
use crate::dcp::Feature;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::GetErrorMap;
use crate::dcp::Hello;
use crate::dcp::HelloResponse;
use crate::dcp::SaslMechanisms;
use crate::dcp::VersionResponse;
use crate::era::Era;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

/// The set-up of a connection: features, login, bucket; and what every connection may ask (dcp-protocol.md §2).
#[derive(Debug)]
pub(super) struct Front {
    features: BTreeSet<u16>,
    logged_in: bool,
    in_bucket: bool,
    scram: Option<Scram>,
    /// Makes the nonces of this connection.
    seed: u64,
}

/// Features of HELLO that [`Feature`] has no name for, since they mean nothing to DCP.
const TCP_NODELAY: u16 = 0x03;
pub(super) const MUTATION_SEQNO: u16 = 0x04;
const MAP_NOTICES: u16 = 0x0d;
const PRESERVE_TTL: u16 = 0x14;
const BRIEF_MAP_NOTICES: u16 = 0x1f;

/// In which form a client is told of changes of the cluster map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notices {
    /// With the new map.
    Full,
    /// With its revision alone.
    Brief,
}

impl Front {
    pub(super) fn new(config: &Config, number: u64) -> Self {
        Self {
            features: BTreeSet::new(),
            logged_in: false,
            in_bucket: false,
            scram: None,
            seed: mix(mix(config.seed ^ 0x00a0_0700).wrapping_add(number)),
        }
    }

    /// The other end is known to be `user`.
    pub(super) fn certified(&mut self, user: &str, config: &Config) {
        self.logged_in = user == config.user;
    }

    /// Whether HELLO agreed on a feature.
    pub(super) fn has(&self, feature: u16) -> bool {
        self.features.contains(&feature)
    }

    /// Whether the client has logged in, and has selected the bucket.
    pub(super) const fn stage(&self) -> (bool, bool) {
        (self.logged_in, self.in_bucket)
    }

    /// In which form it is told of changes of the cluster map, if it asked for that (dcp-protocol.md §2: with Duplex alone).
    pub(super) fn notices(&self) -> Option<Notices> {
        if !self.has(Feature::DUPLEX) {
            None
        } else if self.has(BRIEF_MAP_NOTICES) {
            Some(Notices::Brief)
        } else {
            self.has(MAP_NOTICES).then_some(Notices::Full)
        }
    }

    /// What stands against DCP on this connection, if anything does.
    pub(super) fn refuses_dcp(&self, header: &Header) -> Option<Reply> {
        if let Some(refusal) = self.refuses(header) {
            return Some(refusal);
        }
        self.has(Feature::UNORDERED_EXECUTION).then(|| answer(header, Status::NOT_SUPPORTED))
    }

    /// status-codes.md: without XERROR these close the connection instead.
    fn refuses(&self, header: &Header) -> Option<Reply> {
        let status = match (self.logged_in, self.in_bucket) {
            (false, _) => Status::EACCESS,
            (true, false) => Status::NO_BUCKET,
            (true, true) => return None,
        };
        Some(if self.has(Feature::XERROR) { answer(header, status) } else { Reply::Close })
    }

    /// Answers a request that is not DCP's own.
    pub(super) fn request(&mut self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config, now: Timestamp) -> Reply {
        let header = frame.header();
        match header.opcode {
            Opcode::HELLO => self.hello(frame, config.era),
            Opcode::SASL_LIST_MECHS => {
                let mechanisms = account(config).mechanisms().split(' ').map(str::to_owned).collect();
                send(&SaslMechanisms { mechanisms }.response(header.opaque))
            }
            Opcode::SASL_AUTH => self.sasl_auth(frame, config),
            Opcode::SASL_STEP => self.sasl_step(frame, config),
            Opcode::NOOP | Opcode::QUIT => answer(header, Status::SUCCESS),
            Opcode::VERSION => {
                send(&VersionResponse { version: config.era.version_text().to_owned() }.response(header.opaque))
            }
            Opcode::GET_ERROR_MAP => match GetErrorMap::parse(frame) {
                // Real producers have no map of version 0, which consumers ask for to learn how old they are.
                Ok(GetErrorMap { version: 0 }) => answer(header, Status::KEY_ENOENT),
                Ok(asked) => json(header, error_map::error_map(asked.version)),
                Err(_) => answer(header, Status::EINVAL),
            },
            Opcode::GET_CLUSTER_CONFIG if self.logged_in => {
                json(header, bucket.cluster_map(config, self.in_bucket).to_string())
            }
            Opcode::SELECT_BUCKET if self.logged_in => {
                self.in_bucket = frame.key() == config.bucket.as_bytes();
                answer(header, if self.in_bucket { Status::SUCCESS } else { Status::KEY_ENOENT })
            }
            _ => match self.refuses(header) {
                Some(refusal) => refusal,
                None => self.in_bucket_request(frame, bucket, config, now),
            },
        }
    }

    fn in_bucket_request(&self, frame: &Frame<'_>, bucket: &mut Bucket, config: &Config, now: Timestamp) -> Reply {
        let header = frame.header();
        match header.opcode {
            Opcode::STAT => stats::stat(frame, bucket, config),
            Opcode::GET_FAILOVER_LOG => bucket.failover_log(header),
            Opcode::GET_ALL_VB_SEQNOS => match GetAllVbSeqnos::parse(frame) {
                Ok(mut asked) => {
                    if !self.has(Feature::COLLECTIONS) {
                        asked.collection_id = Some(0);
                    }
                    bucket.all_seqnos(&asked, self.has(Feature::SYNC_REPLICATION), header)
                }
                Err(_) => answer(header, Status::EINVAL),
            },
            Opcode::COLLECTIONS_GET_MANIFEST => json(header, bucket.manifest()),
            Opcode::COLLECTIONS_GET_ID => {
                let path = [frame.key(), frame.value().unwrap_or_default()].concat();
                match bucket.collection_id(&String::from_utf8_lossy(&path)) {
                    Ok(id) => found_id(header, bucket, id),
                    Err(status) => answer(header, status),
                }
            }
            Opcode::COLLECTIONS_SET_MANIFEST => manifest::set(frame, bucket),
            Opcode::COLLECTIONS_GET_SCOPE_ID => {
                let path = [frame.key(), frame.value().unwrap_or_default()].concat();
                match bucket.scope_id(&String::from_utf8_lossy(&path)) {
                    Ok(id) => found_id(header, bucket, id),
                    Err(status) => answer(header, status),
                }
            }
            opcode if states::is_known(opcode) => states::request(frame, bucket, config),
            opcode if kv::is_known(opcode) => kv::request(frame, self, bucket, config, now),
            _ => answer(header, Status::UNKNOWN_COMMAND),
        }
    }

    /// A second HELLO first turns everything off.
    fn hello(&mut self, frame: &Frame<'_>, era: Era) -> Reply {
        let Ok(hello) = Hello::parse(frame) else { return answer(frame.header(), Status::EINVAL) };
        self.features.clear();
        let mut features = Vec::new();
        for feature in hello.features {
            if is_known(feature, era) && self.features.insert(feature) {
                features.push(feature);
            }
        }
        send(&HelloResponse { features }.response(frame.header().opaque))
    }

    fn sasl_auth(&mut self, frame: &Frame<'_>, config: &Config) -> Reply {
        self.logged_in = false;
        self.seed = mix(self.seed);
        let nonce = format!("{:016x}{:016x}", self.seed, mix(self.seed ^ 1));
        let salt = mix(config.seed ^ 0x5a17).to_be_bytes();
        let payload = frame.value().unwrap_or_default();
        let (outcome, scram) = auth::begin(frame.key(), payload, account(config), &nonce, &salt);
        self.scram = scram;
        self.login(frame.header(), outcome)
    }

    fn sasl_step(&mut self, frame: &Frame<'_>, config: &Config) -> Reply {
        let payload = frame.value().unwrap_or_default();
        let outcome = self.scram.take().map_or(Outcome::Refused, |scram| scram.finish(payload, account(config)));
        self.login(frame.header(), outcome)
    }

    fn login(&mut self, header: &Header, outcome: Outcome) -> Reply {
        let (status, value) = outcome.said();
        self.logged_in = status == Status::SUCCESS;
        send(&FrameBuilder::response(header.opcode, status).opaque(header.opaque).value(value))
    }
}

fn account(config: &Config) -> Account<'_> {
    Account { user: &config.user, password: &config.password, token: config.token.as_deref() }
}

fn is_known(feature: u16, era: Era) -> bool {
    match feature {
        TCP_NODELAY
        | MUTATION_SEQNO
        | MAP_NOTICES
        | Feature::XATTR
        | Feature::XERROR
        | Feature::SELECT_BUCKET
        | Feature::SNAPPY
        | Feature::JSON
        | Feature::DUPLEX
        | Feature::UNORDERED_EXECUTION
        | Feature::ALT_REQUESTS
        | Feature::COLLECTIONS => true,
        Feature::SYNC_REPLICATION => era >= Era::V2019_07,
        PRESERVE_TTL => era >= Era::V7_0,
        Feature::SNAPPY_EVERYWHERE | Feature::DEDUPE_NOT_MY_VBUCKET_CLUSTERMAP | BRIEF_MAP_NOTICES => {
            era == Era::Master
        }
        _ => false,
    }
}

/// A frame as a reply.
pub(super) fn send(frame: &FrameBuilder) -> Reply {
    Reply::Frame(frame.build().to_vec())
}

/// The manifest's uid, and the id of a collection or scope.
fn found_id(header: &Header, bucket: &Bucket, id: u32) -> Reply {
    let mut extras = bucket.manifest_uid().to_be_bytes().to_vec();
    extras.extend(id.to_be_bytes());
    send(&FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque).extras(extras))
}

/// A refusal that says what was expected and what was found.
pub(super) fn error(header: &Header, status: Status, context: &str) -> Reply {
    let text = serde_json::json!({"error": {"context": context}}).to_string();
    let frame = FrameBuilder::response(header.opcode, status).opaque(header.opaque);
    send(&frame.datatype(Datatype::JSON).value(text.into_bytes()))
}

fn json(header: &Header, text: String) -> Reply {
    let frame = FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque);
    send(&frame.datatype(Datatype::JSON).value(text.into_bytes()))
}
