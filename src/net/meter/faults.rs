use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::OTHER;
use crate::fault::FaultSpec;
use crate::net::control::Orders;
use crate::scenario::{Plan, Scenario, Step};
use crate::toxic::Kind;

/// Which faults the steps of a connection are made of.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: BTreeMap<String, String>,
    orders: Option<Arc<Orders>>,
}

impl Faults {
    pub(super) fn planned(&mut self, plan: &Plan) {
        let steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
        self.planned = steps.map(|step| (step.name.clone(), named(step))).collect();
    }

    pub(super) fn ordered(&mut self, orders: &Arc<Orders>) {
        self.orders = Some(Arc::clone(orders));
    }

    /// Those of the step of this name.
    pub(super) fn of(&self, step: &str) -> String {
        let ordered = self.orders.iter().flat_map(|orders| {
            let scenarios = orders.scenarios.iter().flat_map(|(_, Scenario { steps, .. })| steps);
            let toxics = orders.toxics.iter().filter_map(|toxic| match &toxic.kind {
                Kind::Dcp(made) if toxic.name == step || made.name == step => Some(named(made)),
                Kind::Dcp(_) | Kind::Bytes(_) | Kind::Nothing => None,
            });
            toxics.chain(scenarios.filter(|found| found.name == step).map(named))
        });
        let found = self.planned.get(step).cloned().or_else(|| ordered.into_iter().next());
        found.unwrap_or_else(|| OTHER.to_owned())
    }
}

/// As a scenario's file names them.
fn named(step: &Step) -> String {
    let names: Vec<_> = step.faults.iter().map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("+") }
}

fn name(fault: &FaultSpec) -> String {
    match serde_json::to_value(fault) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().next().map(|(name, _)| name),
        Ok(serde_json::Value::String(name)) => Some(name),
        Ok(_) | Err(_) => None,
    }
    .unwrap_or_else(|| OTHER.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_by_the_faults_that_it_is_made_of() {
        let scenario = Scenario::named("orphaned-responses").expect("built in");
        let name = scenario.steps[0].name.clone();
        let mut faults = Faults::default();
        assert_eq!(faults.of(&name), OTHER);
        let mut orders = Orders::default();
        orders.scenarios.push((1, scenario));
        faults.ordered(&Arc::new(orders));
        assert_eq!(faults.of(&name), "close_stream");
    }
}
