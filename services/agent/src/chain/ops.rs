//! The operators of chains. Each says what it does with outputs; what only passes through stays in its place.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future, future::BoxFuture, stream};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Boxed, Chain, ChainError, Ctx, Frame, Frames, Payload};

/// What can be shown to whoever watches, while it goes on to the next stage.
pub trait Shown {
    /// As a text.
    fn shown(&self) -> String;
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for Vec<String> {
    fn shown(&self) -> String {
        self.join("\n")
    }
}

/// What can be part of one text.
pub trait Joined: Shown {
    /// As a text.
    fn joined(self) -> String;
}

impl Joined for String {
    fn joined(self) -> String {
        self
    }
}

impl Joined for Vec<String> {
    fn joined(self) -> String {
        self.concat()
    }
}

/// When a chain is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// How often in all.
    pub attempts: u32,
    /// How long before the second time; twice as long each time after.
    pub pause: Duration,
}

/// Every chain has these.
pub trait ChainExt<I: Send + 'static, O: Send + 'static>: Chain<I, O> + Sized + 'static {
    /// Without its name.
    fn boxed(self) -> Boxed<I, O> {
        Box::new(self)
    }

    /// Each output by a function, as it comes.
    fn map<P: Send + 'static>(self, f: impl Fn(O) -> P + Send + Sync + 'static) -> Boxed<I, P> {
        let f = Arc::new(f);
        over(self, move |_, frames| {
            let f = f.clone();
            frames.map_ok(move |frame| frame.map(|output| f(output))).boxed()
        })
    }

    /// Each output by a function that waits, so many at once; their order stays.
    fn map_async<P, F>(self, concurrency: usize, f: impl Fn(O) -> F + Send + Sync + 'static) -> Boxed<I, P>
    where
        P: Send + 'static,
        F: Future<Output = Result<P, ChainError>> + Send + 'static,
    {
        let f = Arc::new(f);
        over(self, move |_, frames| {
            let f = f.clone();
            let work = move |frame: Result<Frame<O>, ChainError>| -> BoxFuture<'static, _> {
                let Frame { path, seq, payload, tokens, replayed } = match frame {
                    Ok(frame) => frame,
                    Err(error) => return Box::pin(future::ready(Err(error))),
                };
                let made = match payload {
                    Payload::Passing(text) => Err(text),
                    Payload::Final(output) => Ok(f(output)),
                };
                Box::pin(async move {
                    let payload = match made {
                        Err(text) => Payload::Passing(text),
                        Ok(made) => Payload::Final(made.await?),
                    };
                    Ok(Frame { path, seq, payload, tokens, replayed })
                })
            };
            ended(frames.map(work).buffered(concurrency.max(1)).boxed())
        })
    }

    /// Only the outputs that pass.
    fn filter(self, passes: impl Fn(&O) -> bool + Send + Sync + 'static) -> Boxed<I, O> {
        let passes = Arc::new(passes);
        over(self, move |_, frames| {
            let passes = passes.clone();
            let keep = move |frame: &Frame<O>| match &frame.payload {
                Payload::Final(output) => passes(output),
                Payload::Passing(_) => true,
            };
            frames.try_filter(move |frame| future::ready(keep(frame))).boxed()
        })
    }

    /// Another chain with all outputs, when this one has ended; until then they pass on to whoever watches.
    fn and_then<P: Send + 'static>(self, next: impl Chain<Vec<O>, P> + 'static) -> Boxed<I, P>
    where
        O: Shown,
    {
        Box::new(AndThen { first: self, next, types: PhantomData })
    }

    /// The whole stream by a function.
    fn pipe<P: Send + 'static>(
        self,
        f: impl for<'a> Fn(Frames<'a, O>) -> Frames<'a, P> + Send + Sync + 'static,
    ) -> Boxed<I, P> {
        over(self, move |_, frames| f(frames))
    }

    /// All outputs as one.
    fn collect(self) -> Boxed<I, Vec<O>>
    where
        O: Shown,
    {
        over(self, |ctx, frames| together(ctx, frames, |outputs| outputs))
    }

    /// All outputs as one text.
    fn join(self) -> Boxed<I, String>
    where
        O: Joined,
    {
        over(self, |ctx, frames| {
            together(ctx, frames, |outputs| outputs.into_iter().map(Joined::joined).collect())
        })
    }

    /// An output in place of an error, or the error.
    fn on_error(
        self,
        instead: impl Fn(ChainError) -> Result<O, ChainError> + Send + Sync + 'static,
    ) -> Boxed<I, O> {
        let instead = Arc::new(instead);
        over(self, move |ctx, frames| {
            let instead = instead.clone();
            let caught = move |frame: Result<Frame<O>, ChainError>| match frame {
                Ok(frame) => Ok(frame),
                Err(error) => {
                    let path = Arc::from(path_of(&error));
                    instead(error).map(|output| ctx.frame(&path, Payload::Final(output), 0, false))
                }
            };
            frames.map(caught).boxed()
        })
    }

    /// Tried again where it fails. Outputs of a try that fails are not given; while it goes on they pass to whoever
    /// watches.
    fn retry(self, policy: Retry) -> Boxed<I, O>
    where
        I: Clone + Sync,
        O: Shown,
    {
        Box::new(Retried { inner: self, policy, types: PhantomData })
    }

    /// With an end to its time, from its beginning.
    fn timeout(self, path: &str, limit: Duration) -> Boxed<I, O> {
        let path = path.to_owned();
        over(self, move |_, mut frames| {
            let path = path.clone();
            async_stream::stream! {
                let end = Instant::now() + limit;
                loop {
                    match timeout_at(end, frames.next()).await {
                        Ok(Some(frame)) => yield frame,
                        Ok(None) => return,
                        Err(_) => {
                            // The inner stream ends with this one, and all its work.
                            yield Err(ChainError::Timeout { path, timeout_ms: limit.as_millis() as u64 });
                            return;
                        }
                    }
                }
            }
            .boxed()
        })
    }

    /// Shows each frame to a function.
    fn tap(self, see: impl Fn(&Frame<O>) + Send + Sync + 'static) -> Boxed<I, O> {
        let see = Arc::new(see);
        over(self, move |_, frames| {
            let see = see.clone();
            frames.inspect_ok(move |frame| see(frame)).boxed()
        })
    }

    /// With an end to its tokens. The frame that passes the limit is still given; nothing is made after it.
    fn budget(self, path: &str, limit: u64) -> Boxed<I, O> {
        let path = path.to_owned();
        over(self, move |_, mut frames| {
            let path = path.clone();
            async_stream::stream! {
                let mut used = 0;
                while let Some(frame) = frames.next().await {
                    used += frame.as_ref().map_or(0, |frame| frame.tokens);
                    yield frame;
                    if used > limit {
                        yield Err(ChainError::Budget { path, used, limit });
                        return;
                    }
                }
            }
            .boxed()
        })
    }
}

impl<I: Send + 'static, O: Send + 'static, C: Chain<I, O> + Sized + 'static> ChainExt<I, O> for C {}

/// A chain over another, whose frames go through a function.
struct Over<C, F, O> {
    inner: C,
    f: F,
    types: PhantomData<fn() -> O>,
}

fn over<I, O, P, C, F>(inner: C, f: F) -> Boxed<I, P>
where
    I: Send + 'static,
    O: Send + 'static,
    P: Send + 'static,
    C: Chain<I, O> + 'static,
    F: for<'a> Fn(&'a Ctx, Frames<'a, O>) -> Frames<'a, P> + Send + Sync + 'static,
{
    Box::new(Over { inner, f, types: PhantomData })
}

impl<I, O, P, C, F> Chain<I, P> for Over<C, F, O>
where
    C: Chain<I, O>,
    F: for<'a> Fn(&'a Ctx, Frames<'a, O>) -> Frames<'a, P> + Send + Sync,
{
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, P> {
        (self.f)(ctx, self.inner.run(ctx, input))
    }
}

struct AndThen<A, B, O> {
    first: A,
    next: B,
    types: PhantomData<fn() -> O>,
}

impl<I, O, P, A, B> Chain<I, P> for AndThen<A, B, O>
where
    I: Send + 'static,
    O: Shown + Send + 'static,
    P: Send + 'static,
    A: Chain<I, O>,
    B: Chain<Vec<O>, P>,
{
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, P> {
        async_stream::stream! {
            let mut outputs = Vec::new();
            let mut frames = self.first.run(ctx, input);
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => yield Ok(passing(frame, |output| outputs.push(output))),
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                }
            }
            drop(frames);
            let mut frames = self.next.run(ctx, outputs);
            while let Some(frame) = frames.next().await {
                yield frame;
            }
        }
        .boxed()
    }
}

struct Retried<C, O> {
    inner: C,
    policy: Retry,
    types: PhantomData<fn() -> O>,
}

impl<I, O, C> Chain<I, O> for Retried<C, O>
where
    I: Clone + Send + Sync + 'static,
    O: Shown + Send + 'static,
    C: Chain<I, O>,
{
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, O> {
        async_stream::stream! {
            for attempt in 1..=self.policy.attempts.max(1) {
                let mut outputs = Vec::new();
                let mut failed = None;
                let mut frames = self.inner.run(ctx, input.clone());
                while let Some(frame) = frames.next().await {
                    match frame {
                        Ok(frame) => {
                            let (path, replayed) = (frame.path.clone(), frame.replayed);
                            yield Ok(passing(frame, |output| outputs.push((path, replayed, output))));
                        }
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                drop(frames);
                let Some(error) = failed else {
                    for (path, replayed, output) in outputs {
                        yield Ok(ctx.frame(&path, Payload::Final(output), 0, replayed));
                    }
                    return;
                };
                if attempt >= self.policy.attempts {
                    yield Err(error);
                    return;
                }
                sleep(self.policy.pause * 2u32.saturating_pow(attempt - 1)).await;
            }
        }
        .boxed()
    }
}

/// The same input to several chains, so many at once; what each gives, in their order.
pub struct Gather<I, O> {
    /// Where it is.
    pub path: Arc<str>,
    /// The chains; the outputs of each become one.
    pub members: Vec<Boxed<I, O>>,
    /// How many at once.
    pub limit: usize,
}

impl<I, O> Chain<I, Vec<O>> for Gather<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Shown + Clone + Send + 'static,
{
    fn run<'a>(&'a self, ctx: &'a Ctx, input: I) -> Frames<'a, Vec<O>> {
        async_stream::stream! {
            let members = self.members.iter().enumerate();
            let streams = members.map(|(index, member)| {
                // Begun in its turn, not before.
                let input = input.clone();
                stream::once(async move { member.run(ctx, input) }).flatten().map(move |frame| (index, frame)).boxed()
            });
            let mut frames = stream::iter(streams.collect::<Vec<_>>()).flatten_unordered(self.limit.max(1));
            let mut outputs: Vec<Option<O>> = self.members.iter().map(|_| None).collect();
            while let Some((index, frame)) = frames.next().await {
                match frame {
                    Ok(frame) => yield Ok(passing(frame, |output| outputs[index] = Some(output))),
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                }
            }
            yield Ok(ctx.frame(&self.path, Payload::Final(outputs.into_iter().flatten().collect()), 0, false));
        }
        .boxed()
    }
}

/// A frame whose output goes on elsewhere; whoever watches still sees it.
pub fn passing<O: Shown, P>(frame: Frame<O>, take: impl FnOnce(O)) -> Frame<P> {
    let Frame { path, seq, payload, tokens, replayed } = frame;
    let payload = match payload {
        Payload::Passing(text) => Payload::Passing(text),
        Payload::Final(output) => {
            let text = output.shown();
            take(output);
            Payload::Passing(text)
        }
    };
    Frame { path, seq, payload, tokens, replayed }
}

/// All outputs as one, at the end.
fn together<'a, O: Shown + Send + 'static, P: Send + 'static>(
    ctx: &'a Ctx,
    mut frames: Frames<'a, O>,
    put: impl Fn(Vec<O>) -> P + Send + 'static,
) -> Frames<'a, P> {
    async_stream::stream! {
        let mut outputs = Vec::new();
        let mut last: Arc<str> = Arc::from("");
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => {
                    last = frame.path.clone();
                    yield Ok(passing(frame, |output| outputs.push(output)));
                }
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
        }
        yield Ok(ctx.frame(&last, Payload::Final(put(outputs)), 0, false));
    }
    .boxed()
}

/// A stream that ends after its first error.
fn ended<'a, O: Send + 'a>(mut frames: Frames<'a, O>) -> Frames<'a, O> {
    async_stream::stream! {
        while let Some(frame) = frames.next().await {
            let failed = frame.is_err();
            yield frame;
            if failed {
                return;
            }
        }
    }
    .boxed()
}

fn path_of(error: &ChainError) -> &str {
    match error {
        ChainError::Stage { path, .. }
        | ChainError::Budget { path, .. }
        | ChainError::Timeout { path, .. } => path,
    }
}

#[cfg(test)]
#[path = "ops_tests.rs"]
mod tests;
