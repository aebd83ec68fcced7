use super::world::*;
use dcproxy::journal::Role;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::replay::Credentials;
use dcproxy::replay::Options;
use dcproxy::replay::Player;
use dcproxy::replay::Speed;
use dcproxy::verdict::Verdict;

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("captures/ is part of the project")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .filter(|name| name.contains(".pcap"))
        .filter(|name| std::env::var("ONLY").map_or(true, |only| name.contains(&only)))
        .collect();
    names.sort();
    names
}

fn options() -> Options {
    Options { speed: Speed::Max, ..Options::default() }
}

#[test]
fn try_pairs() {
    for name in names() {
        let producers = record(&name, Role::Producer, None);
        let wanted = some(&producers, 3);
        let producers = record(&name, Role::Producer, Some(&wanted));
        let consumers = record(&name, Role::Consumer, Some(&wanted));
        for (p, c) in producers.scripts.iter().zip(&consumers.scripts) {
            assert_eq!(p.number, c.number);
            let mut one = Player::new(&consumers, c.clone(), Role::Consumer, options(), START);
            let mut two = Player::new(&producers, p.clone(), Role::Producer, options(), START);
            let end = run(&mut one, &mut two);
            for (who, player) in [("consumer", &one), ("producer", &two)] {
                for f in player.findings(true) {
                    if f.verdict != Verdict::Pass {
                        eprintln!(
                            "{name} c{} as {who}: {} {} | {} ({} ms)",
                            p.number,
                            f.id,
                            f.expected,
                            f.actual,
                            end.since(START).as_millis()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn try_node() {
    for name in names() {
        let consumers = record(&name, Role::Consumer, None);
        let wanted = some(&consumers, 3);
        let consumers = record(&name, Role::Consumer, Some(&wanted));
        for c in &consumers.scripts {
            let era = era_of(&name);
            let quirks = if is_before(&name) { [dcproxy::node::Quirk::Mb35287].into() } else { Default::default() };
            let config = Config { era: era.parse().expect("an era"), vbuckets: 16, items: 4000, quirks, ..Config::default() };
            let options = Options {
                credentials: Some(Credentials { user: config.user.clone(), password: config.password.clone() }),
                ..options()
            };
            let node = Node::new(config);
            let mut two = Plain(Connection::new(&node, START));
            let mut one = Player::new(&consumers, c.clone(), Role::Consumer, options, START);
            let end = run(&mut one, &mut two);
            for f in one.findings(true) {
                if f.verdict != Verdict::Pass {
                    eprintln!(
                        "{name} c{}: {} {} | {} ({} ms)",
                        c.number,
                        f.id,
                        f.expected,
                        f.actual,
                        end.since(START).as_millis()
                    );
                }
            }
        }
    }
}

fn producer_of(name: &str) -> &str {
    name.split_once("producer-").map_or(name, |(_, rest)| rest)
}

fn era_of(name: &str) -> &'static str {
    let name = producer_of(name);
    match ["2019-07", "6.5.0", "7.0.5"].into_iter().filter_map(|era| Some((name.find(era)?, era))).min() {
        Some((_, "6.5.0")) => "6.5",
        Some((_, "7.0.5")) => "7.0",
        _ => "2019-07",
    }
}

fn is_before(name: &str) -> bool {
    producer_of(name).contains("2019-07-before")
}
