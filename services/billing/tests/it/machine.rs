//! TL9: whatever is done in whatever order, billing says and holds what a model of a few lines says and holds.

use std::collections::BTreeMap;

use devstudio_billing::{Config, sweep_once};
use devstudio_kit::Reason;
use devstudio_proto::billing::v1::Scope;
use proptest::{prelude::*, test_runner::TestRunner};
use time::Duration;
use uuid::Uuid;

use crate::harness::{Person, World, dev, proving};

const DEFAULT_LIMIT: i64 = 500;

#[derive(Debug, Clone)]
enum Step {
    Reserve { who: usize, keyed: bool, prompt: i32, completion: i32 },
    Extend { which: usize, tokens: i32, produced: i32 },
    Settle { which: usize, prompt: i32, completion: i32 },
    SetLimit { who: usize, of_key: bool, limit: Option<i64> },
    Grant { who: usize, tokens: i64 },
    Wait { minutes: i64 },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let limit = prop_oneof![3 => (0i64..600).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        8 => (0..3usize, any::<bool>(), 0..80, 0..80)
            .prop_map(|(who, keyed, prompt, completion)| Step::Reserve { who, keyed, prompt, completion }),
        6 => (any::<usize>(), 0..60, 0..80)
            .prop_map(|(which, tokens, produced)| Step::Extend { which, tokens, produced }),
        6 => (any::<usize>(), 0..90, 0..90)
            .prop_map(|(which, prompt, completion)| Step::Settle { which, prompt, completion }),
        2 => (0..3usize, any::<bool>(), limit).prop_map(|(who, of_key, limit)| Step::SetLimit { who, of_key, limit }),
        2 => (0..3usize, (-80i64..120).prop_filter("a grant is not zero", |n| *n != 0))
            .prop_map(|(who, tokens)| Step::Grant { who, tokens }),
        2 => prop_oneof![1..5i64, Just(11), Just(60 * 24 * 9)].prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    granted: i64,
    used: i64,
    reserved: i64,
}

struct Held {
    subjects: Vec<Uuid>,
    month: time::Date,
    prompt: i64,
    reserved: i64,
    produced: i64,
    lease_until: time::OffsetDateTime,
    settled: Option<(i64, i64)>,
}

#[derive(Default)]
struct Model {
    limits: BTreeMap<Uuid, Option<i64>>,
    sums: BTreeMap<(Uuid, time::Date), Sums>,
    held: BTreeMap<Uuid, Held>,
    order: Vec<Uuid>,
}

impl Model {
    fn fits(&self, people: &[Uuid], subjects: &[Uuid], month: time::Date, asked: i64) -> bool {
        subjects.iter().all(|subject| {
            let default = people.contains(subject).then_some(DEFAULT_LIMIT);
            let limit = self.limits.get(subject).copied().unwrap_or(default);
            let sums = self.sums.get(&(*subject, month)).copied().unwrap_or_default();
            limit.is_none_or(|limit| sums.used + sums.reserved + asked <= limit + sums.granted)
        })
    }

    fn change(&mut self, subjects: &[Uuid], month: time::Date, used: i64, reserved: i64) {
        for subject in subjects {
            let sums = self.sums.entry((*subject, month)).or_default();
            sums.used += used;
            sums.reserved += reserved;
        }
    }

    fn settle(&mut self, id: Uuid, prompt: i64, completion: i64) {
        let held = self.held.get_mut(&id).expect("it was reserved");
        held.settled = Some((prompt, completion));
        let (subjects, month, reserved) = (held.subjects.clone(), held.month, held.reserved);
        self.change(&subjects, month, prompt + completion, -reserved);
    }

    fn which(&self, number: usize) -> Option<Uuid> {
        (!self.order.is_empty()).then(|| self.order[number % self.order.len()])
    }
}

async fn play(world: &World, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let people: Vec<Person> = (0..3).map(|_| dev().with_key()).collect();
    let ids: Vec<Uuid> = people.iter().map(|person| person.id).collect();
    let mut model = Model::default();
    for step in steps {
        let now = world.clock.now();
        let month = now.date().replace_day(1).expect("a day");
        match step {
            Step::Reserve { who, keyed, prompt, completion } => {
                let person = Person { key: people[who].key.filter(|_| keyed), ..people[who] };
                let subjects: Vec<Uuid> = [Some(person.id), person.key].into_iter().flatten().collect();
                let asked = i64::from(prompt + completion);
                let answer = world.reserve(&person, prompt, completion).await;
                if model.fits(&ids, &subjects, month, asked) {
                    let id =
                        answer.map_err(|fault| TestCaseError::fail(format!("a false refusal: {fault:?}")))?;
                    model.change(&subjects, month, 0, asked);
                    let lease_until = now + Duration::seconds(30);
                    let (prompt, settled) = (i64::from(prompt), None);
                    model.held.insert(
                        id,
                        Held { subjects, month, prompt, reserved: asked, produced: 0, lease_until, settled },
                    );
                    model.order.push(id);
                } else {
                    prop_assert_eq!(answer.expect_err("it does not fit").reason, Reason::TokenBudgetExceeded);
                }
            }
            Step::Extend { which, tokens, produced } => {
                let Some(id) = model.which(which) else { continue };
                let answer = world.extend(id, tokens, produced).await;
                let held = &model.held[&id];
                let (subjects, month) = (held.subjects.clone(), held.month);
                if held.settled.is_some() {
                    prop_assert_eq!(answer.expect_err("it is settled").reason, Reason::StateConflict);
                    continue;
                }
                let fits = tokens == 0 || model.fits(&ids, &subjects, month, tokens.into());
                let held = model.held.get_mut(&id).expect("it was reserved");
                held.produced = held.produced.max(produced.into());
                held.lease_until = now + Duration::seconds(30);
                if fits {
                    held.reserved += i64::from(tokens);
                    let reserved = held.reserved;
                    model.change(&subjects, month, 0, tokens.into());
                    let answer =
                        answer.map_err(|fault| TestCaseError::fail(format!("a false refusal: {fault:?}")))?;
                    prop_assert_eq!(answer.reserved, reserved);
                } else {
                    prop_assert_eq!(answer.expect_err("it does not fit").reason, Reason::TokenBudgetExceeded);
                }
            }
            Step::Settle { which, prompt, completion } => {
                let Some(id) = model.which(which) else { continue };
                let answer = world.settle(id, prompt, completion).await.expect("it was reserved");
                prop_assert_eq!(answer.already_settled, model.held[&id].settled.is_some());
                if !answer.already_settled {
                    model.settle(id, prompt.into(), completion.into());
                }
                let row = answer.row.expect("a row");
                let stands = Some((i64::from(row.prompt_tokens), i64::from(row.completion_tokens)));
                prop_assert_eq!(stands, model.held[&id].settled);
            }
            Step::SetLimit { who, of_key, limit } => {
                let (scope, subject) = match people[who].key.filter(|_| of_key) {
                    Some(key) => (Scope::Key, key),
                    None => (Scope::User, people[who].id),
                };
                world.set_limit(scope, subject, limit).await.expect("an admin sets it");
                model.limits.insert(subject, limit);
            }
            Step::Grant { who, tokens } => {
                let sums = model.sums.entry((people[who].id, month)).or_default();
                let answer = world.grant(&people[who], tokens).await;
                if sums.granted + tokens < 0 {
                    prop_assert_eq!(answer.expect_err("too much").reason, Reason::StateConflict);
                } else {
                    sums.granted += tokens;
                    prop_assert_eq!(answer.expect("granted").granted, sums.granted);
                }
            }
            Step::Wait { minutes } => world.clock.advance(Duration::minutes(minutes)),
            Step::Sweep => {
                let over =
                    |held: &Held| held.settled.is_none() && held.lease_until < now - Duration::minutes(10);
                let due: Vec<Uuid> =
                    model.held.iter().filter(|(_, held)| over(held)).map(|(id, _)| *id).collect();
                let swept = sweep_once(&world.deps).await.expect("a sweep");
                prop_assert_eq!(swept, due.len() as u64);
                for id in due {
                    let Held { prompt, produced, .. } = model.held[&id];
                    model.settle(id, if produced > 0 { prompt } else { 0 }, produced);
                }
            }
        }
    }
    for ((subject, month), sums) in &model.sums {
        let scope = if ids.contains(subject) { "user" } else { "key" };
        let there = world.balance_in(scope, *subject, *month).await;
        prop_assert_eq!(
            (there.granted, there.used, there.reserved),
            (sums.granted, sums.used, sums.reserved),
            "{} in {}",
            scope,
            month
        );
    }
    for id in model.order.iter().filter(|id| model.held[id].settled.is_none()) {
        world.settle(*id, 0, 0).await.expect("it is open");
    }
    world.check_books().await;
    Ok(())
}

#[test]
fn billing_and_its_model_agree_after_every_step() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (cases, steps) = if proving() { (250, 400) } else { (6, 60) };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = prop::collection::vec(step(), steps / 2..steps * 3 / 2);
    let result = TestRunner::new(config).run(&strategy, |steps| {
        runtime.block_on(async {
            let settings = Config { default_monthly_tokens: Some(DEFAULT_LIMIT), ..Config::default() };
            play(&World::with(settings).await, steps).await
        })
    });
    result.expect("billing and its model agree");
}
