//! The laws of the operators, and what each does with errors, time, tokens and drops.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant as Clock,
};

use devstudio_kit::{Fault, Reason};
use devstudio_proto::agent::v1::{ExecStage, LlmStage};
use futures::stream::BoxStream;
use proptest::prelude::*;

use super::*;
use crate::chain::leaf::{Leaves, Piece};

/// Chains that need no leaves.
struct Nothing;

impl Leaves for Nothing {
    fn llm<'a>(&'a self, _: &'a LlmStage, _: String) -> BoxStream<'a, Result<Piece, Fault>> {
        stream::empty().boxed()
    }
    fn exec<'a>(&'a self, _: &'a ExecStage, _: String) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async { Ok(String::new()) })
    }
    fn write<'a>(&'a self, _: &'a str, _: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    fn read(&self, _: String) -> BoxFuture<'_, Result<String, Fault>> {
        Box::pin(async { Ok(String::new()) })
    }
    fn before(&self, _: &str) -> Option<String> {
        None
    }
    fn keep<'a>(&'a self, _: &'a str, _: u64, _: &'a str, _: u64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

fn ctx() -> Ctx {
    Ctx::new(Arc::new(Nothing))
}

/// Gives texts, each after a pause and for so many tokens; counts how often it was begun and how many go on.
#[derive(Clone, Default)]
struct Source {
    texts: Vec<String>,
    pause: Duration,
    tokens: u64,
    /// It fails after its texts, so many times.
    fails: usize,
    begun: Arc<AtomicUsize>,
    active: Arc<AtomicUsize>,
}

impl Source {
    fn of(texts: &[&str]) -> Self {
        Self { texts: texts.iter().map(|text| (*text).to_owned()).collect(), ..Self::default() }
    }
}

struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Chain<(), String> for Source {
    fn run<'a>(&'a self, ctx: &'a Ctx, (): ()) -> Frames<'a, String> {
        async_stream::stream! {
            self.active.fetch_add(1, Ordering::SeqCst);
            let _active = Active(self.active.clone());
            let begun = self.begun.fetch_add(1, Ordering::SeqCst);
            let path = Arc::from("source");
            for text in &self.texts {
                if !self.pause.is_zero() {
                    sleep(self.pause).await;
                }
                yield Ok(ctx.frame(&path, Payload::Final(text.clone()), self.tokens, false));
            }
            if begun < self.fails {
                yield Err(failure());
            }
        }
        .boxed()
    }
}

fn failure() -> ChainError {
    ChainError::Stage { path: "source".into(), reason: Reason::Internal, message: "it failed".into() }
}

/// All frames, and the error where there is one.
async fn all<I, O>(chain: &dyn Chain<I, O>, input: I) -> (Vec<Frame<O>>, Option<ChainError>) {
    let ctx = ctx();
    let (mut frames, mut error) = (Vec::new(), None);
    let mut stream = chain.run(&ctx, input);
    while let Some(frame) = stream.next().await {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(e) => error = Some(e),
        }
    }
    (frames, error)
}

fn outputs<O>(frames: Vec<Frame<O>>) -> Vec<O> {
    let output = |frame: Frame<O>| match frame.payload {
        Payload::Final(output) => Some(output),
        Payload::Passing(_) => None,
    };
    frames.into_iter().filter_map(output).collect()
}

fn given<O: Send + 'static>(chain: &dyn Chain<(), O>) -> Vec<O> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    outputs(runtime.block_on(all(chain, ())).0)
}

proptest! {
    #[test]
    fn mapping_by_nothing_changes_nothing(texts in prop::collection::vec(".{0,8}", 0..8)) {
        let source = Source { texts: texts.clone(), ..Source::default() };
        prop_assert_eq!(given(&source.map(|text| text)), texts);
    }

    #[test]
    fn mapping_twice_is_mapping_by_both(texts in prop::collection::vec(".{0,8}", 0..8)) {
        let source = Source { texts, ..Source::default() };
        let f = |text: String| text.to_uppercase();
        let g = |text: String| format!("<{text}>");
        prop_assert_eq!(given(&source.clone().map(f).map(g)), given(&source.map(move |text| g(f(text)))));
    }

    #[test]
    fn joining_what_is_collected_is_joining(texts in prop::collection::vec(".{0,8}", 0..8)) {
        let source = Source { texts: texts.clone(), ..Source::default() };
        let joined = given(&source.clone().join());
        prop_assert_eq!(&joined, &vec![texts.concat()]);
        prop_assert_eq!(given(&source.collect().join()), joined);
    }

    #[test]
    fn work_side_by_side_keeps_the_order(waits in prop::collection::vec(0u64..4, 1..10), width in 1usize..5) {
        let texts: Vec<String> = waits.iter().enumerate().map(|(n, wait)| format!("{n} {wait}")).collect();
        let source = Source { texts: texts.clone(), ..Source::default() };
        let chain = source.map_async(width, |text| async move {
            let wait = text.split(' ').nth(1).and_then(|wait| wait.parse().ok()).unwrap_or(0);
            sleep(Duration::from_millis(wait)).await;
            Ok(text)
        });
        prop_assert_eq!(given(&chain), texts);
    }

    #[test]
    fn filtering_keeps_what_passes_in_its_order(texts in prop::collection::vec("[ab]{0,3}", 0..8)) {
        let source = Source { texts: texts.clone(), ..Source::default() };
        let passing: Vec<String> = texts.into_iter().filter(|text| text.contains('a')).collect();
        prop_assert_eq!(given(&source.filter(|text| text.contains('a'))), passing);
    }

    #[test]
    fn what_passes_on_comes_before_the_output_that_is_made_of_it(texts in prop::collection::vec(".{0,8}", 0..6)) {
        let source = Source { texts: texts.clone(), ..Source::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (frames, error) = runtime.block_on(all(&source.join(), ()));
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames.len(), texts.len() + 1);
        prop_assert!(frames.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        let last = frames.len() - 1;
        for (index, frame) in frames.iter().enumerate() {
            prop_assert_eq!(matches!(frame.payload, Payload::Final(_)), index == last);
        }
    }
}

#[tokio::test]
async fn the_first_frame_comes_long_before_its_stage_ends() {
    let pause = Duration::from_millis(30);
    let source = Source { pause, ..Source::of(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]) };
    let chain = source.map(|text| text.to_uppercase()).join();
    let (ctx, began) = (ctx(), Clock::now());
    let mut frames = chain.run(&ctx, ());
    let first = frames.next().await.expect("a frame").expect("no error");
    let first_ms = began.elapsed().as_millis();
    assert_eq!(first.payload, Payload::Passing("A".into()));
    while frames.next().await.is_some() {}
    let all_ms = began.elapsed().as_millis();
    println!("the first of ten frames came after {first_ms} of {all_ms} ms");
    assert!(first_ms * 2 < all_ms, "{first_ms} of {all_ms} ms");
}

fn leaf(pause_ms: u64, text: &str) -> Source {
    Source { pause: Duration::from_millis(pause_ms), ..Source::of(&[text]) }
}

fn four(limit: usize) -> Gather<(), String> {
    let members = ["a", "b", "c", "d"].map(|text| leaf(300, text).boxed()).into();
    Gather { path: Arc::from("gather"), members, limit }
}

#[tokio::test]
async fn gathering_four_takes_the_time_of_one_and_one_by_one_that_of_four() {
    let mut took = Vec::new();
    for limit in [4, 1] {
        let began = Clock::now();
        let (frames, error) = all(&four(limit), ()).await;
        assert_eq!((outputs(frames), error), (vec![["a", "b", "c", "d"].map(str::to_owned).to_vec()], None));
        took.push(began.elapsed());
    }
    println!("four stages of 300 ms: {:?} at once, {:?} one by one", took[0], took[1]);
    assert!(took[0] < Duration::from_millis(600), "{took:?}");
    assert!(took[1] >= Duration::from_millis(1200), "{took:?}");
}

#[tokio::test]
async fn a_member_that_fails_is_replaced_and_the_other_three_stay() {
    let bad = Source { fails: usize::MAX, ..Source::default() };
    let instead = bad.clone().on_error(|error| match error {
        ChainError::Stage { .. } => Ok("instead".to_owned()),
        other => Err(other),
    });
    let members = vec![leaf(1, "a").boxed(), instead, leaf(1, "c").boxed(), leaf(1, "d").boxed()];
    let gather = Gather { path: Arc::from("gather"), members, limit: 4 };
    let (frames, error) = all(&gather, ()).await;
    assert_eq!(
        (outputs(frames), error),
        (vec![["a", "instead", "c", "d"].map(str::to_owned).to_vec()], None)
    );
    // Without that, it fails as a whole.
    let gather =
        Gather { path: Arc::from("gather"), members: vec![leaf(1, "a").boxed(), bad.boxed()], limit: 4 };
    assert_eq!(all(&gather, ()).await.1, Some(failure()));
}

#[tokio::test]
async fn what_fails_is_tried_again_and_gives_its_outputs_once() {
    let policy = Retry { attempts: 3, pause: Duration::from_millis(1) };
    let source = Source { fails: 2, ..Source::of(&["a", "b"]) };
    let begun = source.begun.clone();
    let (frames, error) = all(&source.retry(policy), ()).await;
    assert_eq!((outputs(frames), error), (vec!["a".to_owned(), "b".to_owned()], None));
    assert_eq!(begun.load(Ordering::SeqCst), 3);
    let hopeless = Source { fails: usize::MAX, ..Source::of(&["a"]) };
    let begun = hopeless.begun.clone();
    let (frames, error) = all(&hopeless.retry(policy), ()).await;
    assert_eq!((outputs(frames).len(), error), (0, Some(failure())));
    assert_eq!(begun.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_budget_stops_the_stage_that_passes_it_and_keeps_what_came() {
    let source = Source { tokens: 10, ..Source::of(&["a", "b", "c", "d", "e"]) };
    let (frames, error) = all(&source.budget("here", 25), ()).await;
    assert_eq!(outputs(frames), ["a", "b", "c"]);
    assert_eq!(error, Some(ChainError::Budget { path: "here".into(), used: 30, limit: 25 }));
    assert_eq!(Fault::from(error.expect("an error")).reason, Reason::TokenBudgetExceeded);
}

#[tokio::test]
async fn what_takes_too_long_is_stopped_with_all_its_work() {
    let slow = Source { pause: Duration::from_millis(20), ..Source::of(&["a"; 100]) };
    let active = slow.active.clone();
    let (frames, error) = all(&slow.timeout("slow", Duration::from_millis(110)), ()).await;
    assert_eq!(error, Some(ChainError::Timeout { path: "slow".into(), timeout_ms: 110 }));
    assert!((1..=6).contains(&frames.len()), "{}", frames.len());
    assert_eq!(active.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn dropping_a_chain_stops_every_leaf_of_it() {
    let active = Arc::new(AtomicUsize::new(0));
    let endless =
        Source { pause: Duration::from_millis(5), active: active.clone(), ..Source::of(&["x"; 10_000]) };
    let members =
        vec![endless.clone().boxed(), endless.clone().boxed(), endless.clone().join(), endless.boxed()];
    let chain = Gather { path: Arc::from("gather"), members, limit: 4 };
    let ctx = ctx();
    let mut frames = chain.run(&ctx, ());
    for _ in 0..20 {
        assert!(frames.next().await.expect("a frame").is_ok());
    }
    assert_eq!(active.load(Ordering::SeqCst), 4);
    drop(frames);
    assert_eq!(active.load(Ordering::SeqCst), 0, "nothing goes on");
}

#[tokio::test]
async fn a_stage_after_another_gets_all_that_it_gave_and_watchers_see_both() {
    /// Counts what comes in.
    struct Count;
    impl Chain<Vec<String>, String> for Count {
        fn run<'a>(&'a self, ctx: &'a Ctx, input: Vec<String>) -> Frames<'a, String> {
            let frame = ctx.frame(&Arc::from("count"), Payload::Final(input.len().to_string()), 0, false);
            stream::once(async move { Ok(frame) }).boxed()
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tapped = seen.clone();
    let chain = Source::of(&["a", "b"]).and_then(Count).tap(move |frame| {
        tapped.lock().expect("a lock").push(frame.path.to_string());
    });
    let (frames, error) = all(&chain, ()).await;
    assert_eq!((outputs(frames), error), (vec!["2".to_owned()], None));
    assert_eq!(*seen.lock().expect("a lock"), ["source", "source", "count"]);
    let piped = Source::of(&["a", "b"]).pipe(|frames| frames.take(1).boxed());
    assert_eq!(outputs(all(&piped, ()).await.0), ["a"]);
}
