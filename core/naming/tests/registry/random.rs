//! Random operations: the registry must know what the model knows, every watcher must see what the
//! registry knows whenever nothing is under way, and the same inputs must give the same actions.

use std::time::Duration;

use proptest::prelude::*;
use skymesh_naming::{InstanceState, MassLoss};
use skymesh_types::Attributes;

use crate::model::Model;
use crate::operation::{AGENTS, Op, apply, handle, load, op, url};
use crate::world::World;

/// What the model makes of an operation: whether it is granted, if it is one that is answered.
fn expect(model: &mut Model, now: Duration, op: &Op) -> Option<bool> {
    if let Op::KeepAlive(a)
    | Op::Register(a, ..)
    | Op::Unregister(a, _)
    | Op::Drain(a, _)
    | Op::Change(a, ..)
    | Op::Watch(a, _)
    | Op::Unwatch(a, _) = op
    {
        model.heard(*a, now);
    }
    let (asked_by, granted) = match *op {
        Op::Register(agent, name, instance, which, value) => {
            let handle = handle(agent, name, instance, which);
            (agent, model.register(agent, &url(name, instance), handle, &load(value)))
        }
        Op::Unregister(agent, handle) => (agent, model.unregister(agent, handle)),
        Op::Drain(agent, handle) => {
            let own = model.own(agent, handle);
            (agent, own.map(|own| own.state = InstanceState::Draining).is_some())
        }
        Op::Change(agent, handle, value) => {
            let own = model.own(agent, handle);
            (agent, own.map(|own| own.runtime = load(value)).is_some())
        }
        Op::Kick(name, instance) => return Some(model.kick(&url(name, instance))),
        Op::Connect(agent) => {
            model.connect(agent, now);
            return None;
        }
        Op::Disconnect(agent) => {
            model.disconnect(agent, now);
            return None;
        }
        Op::Goodbye(agent) => {
            model.goodbye(agent);
            return None;
        }
        _ => return None,
    };
    model.is_up(asked_by).then_some(granted)
}

fn check_model(world: &World, model: &Model) {
    let mut expected: Vec<_> = model
        .instances
        .iter()
        .map(|i| (i.url.clone(), i.handle, i.state, i.runtime.clone()))
        .collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let known: Vec<_> = world
        .registry
        .instances(world.now)
        .map(|listed| {
            let record = listed.record;
            let attributes = Attributes::clone(&record.attributes);
            (record.url.clone(), record.handle.get(), record.state, attributes)
        })
        .collect();
    assert_eq!(known, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn registry_and_model_agree_and_watchers_see_it(
        ops in proptest::collection::vec((op(), prop::bool::weighted(0.1)), 1..80)
    ) {
        // The model knows no guard.
        let mut world = World::new(MassLoss { percent: 100, ..MassLoss::default() });
        let mut model = Model::new(AGENTS);
        for (op, quiesce) in &ops {
            world.granted = None;
            let expected = expect(&mut model, world.now, op);
            apply(&mut world, op);
            assert_eq!(world.granted, expected, "{op:?}");
            model.run_to(world.now);
            check_model(&world, &model);
            if *quiesce {
                world.check_watchers();
                model.run_to(world.now);
            }
        }
        world.check_watchers();
    }

    #[test]
    fn watchers_see_the_registry_with_the_guard_too_and_inputs_decide_everything(
        ops in proptest::collection::vec(op(), 1..80)
    ) {
        let play = || {
            let mut world = World::new(MassLoss::default());
            for op in &ops {
                apply(&mut world, op);
            }
            world.check_watchers();
            world.log
        };
        prop_assert_eq!(play(), play());
    }
}
