//! The file of `--config`: a table `[[proxy]]` for each proxy, whose keys are the flags of `dcproxy proxy`.
//!
//! A table becomes a command line, which is parsed as any: so it can say whatever flags can, and is refused as they are.
//! What the command line or the environment says is left out of the file's, and so holds for all proxies.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::anyhow;
use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Args as _;
use clap::Command;
use clap::FromArgMatches;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::parser::ValueSource;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::Args;
use super::outputs;
use crate::cli::api::Api;
use crate::cli::usage_error;
use crate::filter::nearest;
use crate::net::Target;

/// What is to be served.
pub(super) struct File {
    /// Where that is written; `None` where the flags say all.
    pub(super) path: Option<PathBuf>,
    /// Where the API listens, and whom it answers.
    pub(super) api: Api,
    /// One for each proxy; at least one.
    pub(super) tables: Vec<Table>,
}

/// One proxy.
pub(super) struct Table {
    /// What it is called; empty where the flags say all.
    pub(super) name: String,
    /// The command line that it comes to, without the program, and without what the environment says.
    pub(super) argv: Vec<OsString>,
    /// The same, parsed.
    pub(super) args: Box<Args>,
}

/// Something in a file is not as it should be.
#[derive(Debug)]
struct Wrong {
    /// Which bytes of the text.
    at: Range<usize>,
    /// What was expected, and what was found.
    said: String,
}

/// These are for the process, and not for each of its proxies.
const NOT_FOR_A_PROXY: [&str; 5] = ["config", "api", "api-token-file", "api-host", "api-recordings"];

type Entries<'a> = BTreeMap<String, (Range<usize>, &'a Spanned<DeValue<'a>>)>;

impl File {
    /// One proxy, without a file.
    pub(super) fn of_flags(args: Args) -> Self {
        Self {
            path: None,
            api: Api::default(),
            tables: vec![Table { name: String::new(), argv: Vec::new(), args: Box::new(args) }],
        }
    }

    /// Reads a file. `given` is what the command line and the environment say.
    ///
    /// # Errors
    /// One line: the file, the line in it, what was expected and what was found.
    pub(super) fn read(path: &Path, given: &ArgMatches) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let (api, tables) = parse(&text, given).map_err(|wrong| {
            let line = text.get(..wrong.at.start).unwrap_or_default().matches('\n').count() + 1;
            anyhow!("{}: line {line}: {}", path.display(), wrong.said)
        })?;
        Ok(Self { path: Some(path.to_owned()), api, tables })
    }
}

fn parse(text: &str, given: &ArgMatches) -> Result<(Api, Vec<Table>), Wrong> {
    let root = DeTable::parse(text).map_err(|error| Wrong {
        at: error.span().unwrap_or_default(),
        said: error.message().lines().map(str::trim).collect::<Vec<_>>().join(", "),
    })?;
    let command = Args::augment_args(Command::new("proxy")).no_binary_name(true);
    let (mut api, mut proxies, mut defaults) = (Api::default(), Vec::new(), Entries::new());
    for (key, value) in root.get_ref() {
        match &*key.get_ref().replace('_', "-") {
            "proxy" => proxies = array_of_tables(value)?,
            "api" => {
                let listen = Target::to_listen_on(&text_of(value)?);
                api.api = Some(listen.map_err(|error| Wrong { at: value.span(), said: error.to_string() })?);
            }
            "api-token-file" => api.whom.api_token_file = Some(text_of(value)?.into()),
            "api-host" => api.whom.api_host = texts_of(value)?,
            "api-recordings" => api.whom.api_recordings = Some(text_of(value)?.into()),
            _ => {
                let known = ["proxy", "api", "api-token-file", "api-host", "api-recordings"];
                enter(&mut defaults, &command, key, value, &known)?;
            }
        }
    }
    if proxies.is_empty() {
        return Err(Wrong { at: 0..0, said: "expected at least one table [[proxy]], found none".to_owned() });
    }
    let mut tables = Vec::with_capacity(proxies.len());
    let mut claims = BTreeMap::new();
    for (at, proxy) in proxies {
        let table = table(proxy, &at, &defaults, &command, given)?;
        for claim in claims_of(&table) {
            if let Some(other) = claims.insert(claim.clone(), table.name.clone()) {
                let said =
                    format!("expected proxies that differ, found '{other}' and '{}' that both {claim}", table.name);
                return Err(Wrong { at, said });
            }
        }
        tables.push(table);
    }
    Ok((api, tables))
}

fn array_of_tables<'a>(value: &'a Spanned<DeValue<'a>>) -> Result<Vec<(Range<usize>, &'a DeTable<'a>)>, Wrong> {
    let wrong = |value: &Spanned<DeValue<'_>>| Wrong {
        at: value.span(),
        said: format!("expected tables [[proxy]], found a {}", value.get_ref().type_str()),
    };
    let tables = value.get_ref().as_array().ok_or_else(|| wrong(value))?;
    tables.iter().map(|one| Ok((one.span(), one.get_ref().as_table().ok_or_else(|| wrong(one))?))).collect()
}

/// What no two proxies may do.
fn claims_of(table: &Table) -> Vec<String> {
    let named = format!("are called so: give each a name of its own (name = {:?})", table.name);
    let listen = table
        .args
        .listen
        .iter()
        .chain(table.args.cluster.management())
        .filter(|listen| listen.port != 0)
        .map(|listen| format!("listen on {listen}"));
    let writes = outputs::written(&table.args).map(|path| format!("write {}", path.display()));
    [named].into_iter().chain(listen).chain(writes).collect()
}

/// Takes a key of the file for the flag that it names.
fn enter<'a>(
    entries: &mut Entries<'a>,
    command: &Command,
    key: &Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
    beside: &[&str],
) -> Result<(), Wrong> {
    let long = key.get_ref().replace('_', "-");
    let flags = || command.get_arguments().filter_map(Arg::get_long).filter(|long| !NOT_FOR_A_PROXY.contains(long));
    if !flags().any(|flag| flag == long) {
        let known = flags().chain(beside.iter().copied()).map(str::to_owned);
        let tip = nearest(&long, known).map_or_else(String::new, |near| format!("; the nearest is '{near}'"));
        let said = format!("expected a flag of dcproxy proxy without its dashes, found '{}'{tip}", key.get_ref());
        return Err(Wrong { at: key.span(), said });
    }
    if entries.insert(long, (key.span(), value)).is_some() {
        let said = format!("expected each key once, found '{}' in two spellings", key.get_ref());
        return Err(Wrong { at: key.span(), said });
    }
    Ok(())
}

fn table(
    proxy: &DeTable<'_>,
    at: &Range<usize>,
    defaults: &Entries<'_>,
    command: &Command,
    given: &ArgMatches,
) -> Result<Table, Wrong> {
    let mut own = Entries::new();
    let mut named = None;
    for (key, value) in proxy {
        match key.get_ref().as_ref() {
            "name" => named = Some(name_of(value)?),
            _ => enter(&mut own, command, key, value, &["name"])?,
        }
    }
    let mut argv = Vec::new();
    let entry = |long: &str| own.get(long).or_else(|| defaults.get(long));
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| !NOT_FOR_A_PROXY.contains(long)) else { continue };
        let written = entry(long).map(|(_, value)| of_file(arg, long, value)).transpose()?;
        match given.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => argv.extend(of_command_line(arg, long, given)),
            // It is read when the table's command line is parsed.
            Some(ValueSource::EnvVariable) => {}
            _ => argv.extend(written.unwrap_or_default()),
        }
    }
    let called = named.as_ref().map_or_else(|| "a proxy".to_owned(), |name| format!("proxy '{name}'"));
    let refused = |error: &clap::Error| {
        let span = flag_in(error).and_then(|long| entry(&long)).map_or_else(|| at.clone(), |(span, _)| span.clone());
        Wrong { at: span, said: format!("{called}: {}", usage_error(&error.render().to_string())) }
    };
    let parsed = command.clone().try_get_matches_from(&argv).map_err(|error| refused(&error))?;
    let args = Args::from_arg_matches(&parsed).map_err(|error| refused(&error))?;
    let Some(listen) = &args.listen else {
        return Err(Wrong { at: at.clone(), said: format!("{called}: expected listen = \"ADDR\", found none") });
    };
    let name = named.unwrap_or_else(|| listen.to_string());
    Ok(Table { name, argv, args: Box::new(args) })
}

fn name_of(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let name = value.get_ref().as_str().filter(|name| !name.is_empty() && !name.contains(char::is_control));
    name.map(str::to_owned).ok_or_else(|| Wrong {
        at: value.span(),
        said: format!("expected name = \"some text on one line\", found a {}", value.get_ref().type_str()),
    })
}

/// The words of a command line that say what the file says of a flag.
fn of_file(arg: &Arg, long: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Wrong> {
    let is_switch = !arg.get_action().takes_values();
    match value.get_ref() {
        DeValue::Boolean(true) if is_switch || takes_none(arg) => Ok(vec![format!("--{long}").into()]),
        DeValue::Boolean(false) if is_switch => Ok(Vec::new()),
        other if is_switch => Err(Wrong {
            at: value.span(),
            said: format!("expected {long} = true or false, found a {}", other.type_str()),
        }),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Ok(words(arg, long, texts_of(value)?)),
    }
}

/// One text, or all of a list.
fn texts_of(value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    match value.get_ref().as_array() {
        Some(values) => values.iter().map(text_of).collect(),
        None => Ok(vec![text_of(value)?]),
    }
}

/// Several values: each for itself where the flag is repeatable, else as one list.
fn words(arg: &Arg, long: &str, texts: Vec<String>) -> Vec<OsString> {
    let texts = if matches!(arg.get_action(), ArgAction::Append) { texts } else { vec![texts.join(",")] };
    texts.into_iter().map(|text| format!("--{long}={text}").into()).collect()
}

/// Whether the flag may stand without a value.
fn takes_none(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() == 0)
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let wrong = |found: &str| Wrong {
        at: value.span(),
        said: format!("expected text, a number, true, false or a list of them, found {found}"),
    };
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(_) => Err(wrong("a list in a list")),
        DeValue::Table(_) => Err(wrong("a table")),
        DeValue::Datetime(_) => Err(wrong("a date")),
    }
}

/// The words that say what the command line said of a flag.
fn of_command_line(arg: &Arg, long: &str, given: &ArgMatches) -> Vec<OsString> {
    if !arg.get_action().takes_values() {
        return vec![format!("--{long}").into()];
    }
    let occurrences = given.get_raw_occurrences(arg.get_id().as_str()).into_iter().flatten();
    occurrences
        .map(|values| {
            let mut word = OsString::from(format!("--{long}="));
            for (count, value) in values.enumerate() {
                if count > 0 {
                    word.push(",");
                }
                word.push(value);
            }
            word
        })
        .collect()
}

/// The flag that an error is about, without its dashes.
fn flag_in(error: &clap::Error) -> Option<String> {
    let ContextValue::String(flag) = error.get(ContextKind::InvalidArg)? else { return None };
    let long = flag.strip_prefix("--")?;
    Some(long.split([' ', '=', '[', '<']).next().unwrap_or(long).to_owned())
}
