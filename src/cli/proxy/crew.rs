use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::ArgMatches;

use super::Args;
use super::Equipped;
use super::Kept;
use super::Made;
use super::config::File;
use super::config::Table;
use super::outputs::Outputs;
use crate::api::Api;
use crate::cli::announce;
use crate::cli::complain;
use crate::cli::output::announce_for;
use crate::net::Changes;
use crate::net::Crew;
use crate::net::Judged;
use crate::net::Outfit;
use crate::net::control::Newcomer;
use crate::net::control::Registry;
use crate::net::control::Wanted;
use crate::net::proxy::Summary;
use crate::net::raise_descriptors;
use crate::net::tls::Certificates;
use crate::net::too_few_descriptors;
use crate::verdict::ExitStatus;

/// The proxies of this process: those that serve, and what came of those that have ended.
pub(in crate::cli) struct Proxies<'a> {
    /// Where they are written down; `None` where the flags say all.
    path: Option<PathBuf>,
    given: &'a ArgMatches,
    /// What those are like that are made over HTTP.
    made: Made,
    members: BTreeMap<String, Member>,
    /// Those that are to be the members, once all of them are equipped.
    next: BTreeMap<String, Member>,
    /// The listeners of those that are equipped, and have not been told of.
    unannounced: Vec<(String, SocketAddr, Option<SocketAddr>)>,
    /// Where the API listens, until that has been told of.
    api: Option<SocketAddr>,
    /// What the API knows of them; `None` where there is no API.
    registry: Option<Registry>,
    kept: Kept,
    outputs: Outputs,
    equipped: u64,
    /// How many file descriptors the process may have, if that is known.
    descriptors: Option<u64>,
    status: ExitStatus,
    error: Option<anyhow::Error>,
}

/// A proxy as it is written down.
#[derive(Clone, Debug)]
struct Member {
    argv: Vec<OsString>,
    /// What its listeners are kept by.
    kept_by: Vec<String>,
    /// How many connections it may have at a time, where that is limited.
    connections: usize,
    certificates: Certificates,
    /// Which of those that were ever equipped it is.
    number: u64,
    ended: bool,
}

/// What belongs to a proxy beside what serves its connections.
#[derive(Debug)]
pub(in crate::cli) enum Whose {
    /// It is written down, in flags or a file.
    Written {
        /// What is written.
        args: Box<Args>,
        /// Which of those that were ever equipped it is.
        number: u64,
    },
    /// It was made over HTTP.
    Made,
}

impl<'a> Proxies<'a> {
    /// None yet.
    pub(in crate::cli) fn new(
        path: Option<PathBuf>,
        given: &'a ArgMatches,
        made: Made,
        registry: Option<Registry>,
    ) -> Self {
        Self {
            path,
            given,
            made,
            members: BTreeMap::new(),
            next: BTreeMap::new(),
            unannounced: Vec::new(),
            api: None,
            registry,
            kept: Kept::default(),
            outputs: Outputs::default(),
            equipped: 0,
            descriptors: raise_descriptors(),
            status: ExitStatus::Pass,
            error: None,
        }
    }

    /// Where the API listens is to be told with the rest.
    pub(in crate::cli) const fn announcing(&mut self, api: Api) -> Api {
        self.api = Some(api.address());
        api
    }

    /// Binds and starts whatever the proxies of these tables need. They are members once they serve.
    pub(super) async fn equip(&mut self, tables: Vec<Table>) -> anyhow::Result<Vec<Outfit<Judged, Whose>>> {
        let mut outfits = Vec::with_capacity(tables.len());
        for Table { name, argv, mut args } in tables {
            self.outputs.claim(&mut args);
            let equipped = args.equip(&name, &mut self.kept, self.registry.as_ref()).await;
            let Equipped { doors, options, judged, address, management, kept_by, certificates, steering } =
                match (equipped, &self.path) {
                    (Ok(equipped), _) => equipped,
                    (Err(error), None) => return Err(error),
                    (Err(error), Some(path)) => {
                        return Err(error.context(format!("{}: proxy '{name}'", path.display())));
                    }
                };
            self.equipped += 1;
            let number = self.equipped;
            self.unannounced.push((name.clone(), address, management));
            let connections = options.max_connections.unwrap_or(0);
            self.next.insert(name.clone(), Member { argv, kept_by, connections, certificates, number, ended: false });
            let whose = Whose::Written { args, number };
            outfits.push(Outfit { name, doors, options, served: judged, whose, steering });
        }
        Ok(outfits)
    }

    /// Those that are to be there at first as if they had been made over HTTP.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(in crate::cli) fn make(&mut self, wanted: Vec<Wanted>) -> anyhow::Result<Vec<Outfit<Judged, Whose>>> {
        let mut outfits = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let name = wanted.name.clone();
            let Some(registry) = &self.registry else { continue };
            let newcomer = registry.prepare(wanted).with_context(|| format!("proxy '{name}'"))?;
            outfits.push(self.admit(newcomer));
        }
        Ok(outfits)
    }

    /// Whether there is anything to read again: the file, or certificates of those that are about to serve.
    pub(super) fn can_read_again(&self) -> bool {
        self.path.is_some() || self.next.values().any(|member| !member.certificates.is_empty())
    }

    /// How all of them ended: the worst.
    ///
    /// # Errors
    /// That of the only one, where the flags say all.
    pub(in crate::cli) fn status(self) -> anyhow::Result<ExitStatus> {
        self.error.map_or(Ok(self.status), Err)
    }

    /// Keeps the listeners of those that may still need them.
    fn let_go(&mut self) {
        let doors = self.members.values().filter(|member| !member.ended).flat_map(|member| member.kept_by.clone());
        self.kept.listeners.keep_only(&doors.collect::<BTreeSet<_>>());
    }

    async fn read_again(&mut self) -> anyhow::Result<Changes<Judged, Whose>> {
        self.members.values().for_each(|member| member.certificates.reread());
        let Some(path) = &self.path else {
            self.next.clone_from(&self.members);
            return Ok(Changes { retire: Vec::new(), start: Vec::new(), told: "no file to read again".to_owned() });
        };
        let file = File::read(path, self.given)?;
        let path = path.display().to_string();
        let (mut kept, mut changed, mut new, mut to_equip) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for table in file.tables {
            match self.members.get(&table.name) {
                Some(member) if member.argv == table.argv => {
                    kept.push(table.name.clone());
                    self.next.insert(table.name, member.clone());
                    continue;
                }
                Some(_) => changed.push(table.name.clone()),
                None if self.registry.as_ref().is_some_and(|registry| registry.get(&table.name).is_some()) => {
                    let found = &table.name;
                    anyhow::bail!("{path}: expected a name that no proxy made over HTTP has, found '{found}'");
                }
                None => new.push(table.name.clone()),
            }
            to_equip.push(table);
        }
        let start = self.equip(to_equip).await?;
        let gone: Vec<String> = self.members.keys().filter(|name| !self.next.contains_key(*name)).cloned().collect();
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let told = format!(
            "{path} is read again: kept {}; changed {}; new {}; gone {}",
            list(&kept),
            list(&changed),
            list(&new),
            list(&gone)
        );
        Ok(Changes { retire: [changed, gone].concat(), start, told })
    }
}

impl Crew for Proxies<'_> {
    type Served = Judged;
    type Whose = Whose;

    async fn reload(&mut self) -> Result<Changes<Judged, Whose>, String> {
        let changes = self.read_again().await;
        if changes.is_err() {
            self.next.clear();
            self.unannounced.clear();
            self.let_go();
        }
        changes.map_err(|error| format!("{error:#}"))
    }

    fn admit(&mut self, newcomer: Newcomer) -> Outfit<Judged, Whose> {
        let name = newcomer.name().to_owned();
        let standing = newcomer.standing();
        if let Some(at) = standing.listen.addresses.first().filter(|_| standing.enabled) {
            announce(&name.escape_debug().to_string(), *at);
        }
        let (options, mut judged) = self.made.options_and_judged();
        judged.obey(Arc::clone(newcomer.steering.controlled()));
        let Newcomer { doors, steering, .. } = newcomer;
        Outfit { name, doors, options, served: judged, whose: Whose::Made, steering: Some(steering) }
    }

    fn changed(&mut self) {
        self.members = std::mem::take(&mut self.next);
        let several = self.members.len() > 1;
        for (name, address, management) in std::mem::take(&mut self.unannounced) {
            announce_for(if several { &name } else { "" }, address);
            management.into_iter().for_each(|address| announce("management", address));
        }
        if let Some(api) = self.api.take() {
            announce("api", api);
        }
        self.let_go();
        let connections = self.members.values().map(|member| member.connections as u64);
        let connections = connections.fold(0, u64::saturating_add);
        if let Some(told) = self.descriptors.and_then(|found| too_few_descriptors(connections, found)) {
            tracing::warn!("{told}");
        }
    }

    fn ended(&mut self, name: &str, whose: Whose, served: Judged, summary: Summary) {
        let Whose::Written { args, number } = whose else {
            served.report(&summary).errors.iter().for_each(|error| tracing::error!(proxy = name, "{error}"));
            return;
        };
        let removed = summary.removed;
        match args.conclude(name, served, summary) {
            Ok(status) => self.status = self.status.worst(status),
            Err(error) if self.path.is_none() => self.error = Some(error),
            Err(error) => {
                complain(&format!("proxy '{name}': {error:#}"));
                self.status = ExitStatus::Error;
            }
        }
        if let Some(member) = self.members.get_mut(name).filter(|member| member.number == number) {
            member.ended = true;
            if removed {
                // Once the file is read again it is there again.
                self.members.remove(name);
            }
            self.let_go();
        }
    }

    fn lost(&mut self, error: String) {
        complain(&format!("a proxy has crashed: {error}"));
        self.status = ExitStatus::Error;
    }

    fn stopping(&mut self) {
        self.kept.listeners.clear();
    }
}
