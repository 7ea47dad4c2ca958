//! The worker for WebAssembly: a process of its own, in the sandbox, for one module.
//!
//! It is started before there is anything to do, reads one order, compiles or loads the module, runs it, and ends.
//! A hostile module that broke out of wasmer would find itself where a program of the engine `run` is from the start.

use std::{
    io::{Read as _, Write as _},
    os::fd::FromRawFd as _,
    sync::Arc,
    time::Instant,
};

use wasmer::{
    Engine, Extern, ExternType, Function, Instance, InstantiationError, Memory, Module, RuntimeError, Store,
    Type, Value,
    sys::{CompilerConfig as _, EngineBuilder, NativeEngineExt as _},
    wasmparser::Operator,
};
use wasmer_middlewares::{
    Metering,
    metering::{MeteringPoints, get_remaining_points},
};
use wasmer_wasix::{
    PluggableRuntime, UnsupportedVirtualNetworking, WasiEnvBuilder, WasiError, WasiFunctionEnv,
    WasiModuleInstanceHandles, WasiModuleTreeHandles,
    capabilities::Capabilities,
    runtime::task_manager::tokio::TokioTaskManager,
    runtime::{module_cache, package_loader::UnsupportedPackageLoader, resolver::MultiSource},
};

use super::{
    order::{COMPILED, Order, SPENT, VERDICT, Verdict, part},
    stdio::Stdio,
    tunables::Capped,
};

/// The most bytes of a compiled module that are handed back.
const MAX_COMPILED_BYTES: usize = 12 << 20;
/// A command of WASI's that reads and writes nothing, by no buffer at all.
const NOTHING: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 8)))))"#;
/// Descriptor of the report.
const REPORT: i32 = 3;

/// The worker's whole life; answers its exit code.
pub fn main() -> i32 {
    // Threads for timers and the like; made before there is anything to do.
    let Ok(tokio) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()
    else {
        return 1;
    };
    let _entered = tokio.enter();
    let tasks = Arc::new(TokioTaskManager::new(tokio.handle().clone()));
    // SAFETY: the launcher gave this process both descriptors, and nobody else here has them.
    let (mut input, mut report) = unsafe {
        (std::mem::ManuallyDrop::new(std::fs::File::from_raw_fd(0)), std::fs::File::from_raw_fd(REPORT))
    };
    warm_up(tasks.clone());
    let Some((order, module, compiled)) = read_order(&mut input) else { return 0 };
    let verdict = Worker { order, tasks }.run(module, compiled, &mut report);
    let told = serde_json::to_vec(&verdict).unwrap_or_default();
    match report.write_all(&part(VERDICT, &told)) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// Does once what every order needs, while the worker waits for its own: the first time costs several times the second,
/// in pages that are touched and tables that are made.
fn warm_up(tasks: Arc<TokioTaskManager>) {
    let order = Order { memory_bytes: 1 << 20, fuel: 1_000, ..Order::default() };
    let worker = Worker { order, tasks };
    let engine = worker.engine();
    let Ok(module) = Module::new(&engine, NOTHING) else { return };
    let mut store = Store::new(engine.clone());
    if let Ok(instance) = worker.instantiate(&mut store, engine, &module) {
        worker.call(&mut store, &instance);
    }
}

/// Reads the order; nothing where the service closed the input without one.
fn read_order(input: &mut std::fs::File) -> Option<(Order, Vec<u8>, Vec<u8>)> {
    let mut length = [0u8; 4];
    input.read_exact(&mut length).ok()?;
    let mut read = |length: usize| {
        let mut content = vec![0u8; length];
        input.read_exact(&mut content).ok().map(|()| content)
    };
    let order: Order = serde_json::from_slice(&read(u32::from_le_bytes(length) as usize)?).ok()?;
    let module = read(order.module_bytes)?;
    let compiled = read(order.compiled_bytes)?;
    Some((order, module, compiled))
}

struct Worker {
    order: Order,
    tasks: Arc<TokioTaskManager>,
}

impl Worker {
    fn run(self, module: Vec<u8>, compiled: Vec<u8>, report: &mut std::fs::File) -> Verdict {
        let engine = self.engine();
        let module = if compiled.is_empty() {
            let module = match Module::new(&engine, &module) {
                Ok(module) => module,
                Err(error) => return Verdict::Failed(format!("the module does not compile: {error}")),
            };
            if let Ok(code) = module.serialize()
                && code.len() <= MAX_COMPILED_BYTES
                && report.write_all(&part(COMPILED, &code)).is_err()
            {
                return Verdict::Failed("the service is gone".to_owned());
            }
            module
        } else {
            // SAFETY: the service keeps compiled modules where nobody else can write, by the hash of their source,
            // and takes them only from workers that had not yet run any of the module's code.
            match unsafe { Module::deserialize(&engine, compiled) } {
                Ok(module) => module,
                Err(error) => return Verdict::Failed(format!("the compiled module does not load: {error}")),
            }
        };
        let began = Instant::now();
        let mut store = Store::new(engine.clone());
        let verdict = match self.instantiate(&mut store, engine, &module) {
            Ok(instance) => self.call(&mut store, &instance),
            Err(verdict) => verdict,
        };
        let spent = (began.elapsed().as_micros() as u64).to_le_bytes();
        // Where the service is gone nobody misses it.
        let _ = report.write_all(&part(SPENT, &spent));
        verdict
    }

    /// Cranelift without optimisation, the quickest of the compilers whose licence lets everybody use them; a module
    /// that is a bomb for it ends at the worker's time and memory. Metering counts every operation.
    fn engine(&self) -> Engine {
        let mut compiler = wasmer::sys::Cranelift::default();
        compiler.opt_level(wasmer::sys::CraneliftOptLevel::None);
        let cost = |_: &Operator<'_>| -> u64 { 1 };
        compiler.push_middleware(Arc::new(Metering::new(self.order.fuel, cost)));
        let mut engine: Engine = EngineBuilder::new(compiler).into();
        engine.set_tunables(Capped::new(self.order.memory_bytes));
        engine
    }

    fn instantiate(&self, store: &mut Store, engine: Engine, module: &Module) -> Result<Instance, Verdict> {
        if module.custom_sections("dylink.0").next().is_some() {
            // wasmer would put such modules together in a way of its own, with all its calls.
            return Err(Verdict::Failed("modules of several parts are not run".to_owned()));
        }
        if !wasmer_wasix::is_wasi_module(module) && !wasmer_wasix::is_wasix_module(module) {
            return Instance::new(store, module, &wasmer::Imports::new()).map_err(not_instantiated);
        }
        let mut capabilities = Capabilities::default();
        capabilities.threading.max_threads = Some(1);
        capabilities.threading.enable_asynchronous_threading = false;
        let runtime = PluggableRuntime {
            rt: self.tasks.clone(),
            networking: Arc::new(UnsupportedVirtualNetworking::default()),
            http_client: None,
            package_loader: Arc::new(UnsupportedPackageLoader),
            source: Arc::new(MultiSource::default()),
            engine,
            module_cache: Arc::new(module_cache::in_memory()),
            tty: None,
            read_only_journals: Vec::new(),
            writable_journals: Vec::new(),
            instantiation_hooks: Vec::new(),
        };
        // No folder of any kind is opened for the module, and what wasmer opens by itself it cannot reach: see `calls`.
        let env = WasiEnvBuilder::new("module")
            .args(if self.order.function.is_empty() { self.order.args.clone() } else { Vec::new() })
            .envs(self.order.env.clone())
            .stdin(Box::new(Stdio(0)))
            .stdout(Box::new(Stdio(1)))
            .stderr(Box::new(Stdio(2)))
            .runtime(Arc::new(runtime))
            .capabilities(capabilities)
            .finalize(store);
        start(env.map_err(failed)?, store, module)
    }

    fn call(&self, store: &mut Store, instance: &Instance) -> Verdict {
        let name = if self.order.function.is_empty() { "_start" } else { &self.order.function };
        let Some(Extern::Function(function)) = instance.exports.get_extern(name) else {
            return Verdict::Failed(format!("the module exports no function {name:?}"));
        };
        let function = function.clone();
        let result = match self.order.function.is_empty() {
            true => function.call(store, &[]),
            false => match numbers(&function, store, &self.order.args) {
                Ok(numbers) => function.call(store, &numbers),
                Err(why) => return Verdict::Failed(why),
            },
        };
        match result {
            Ok(values) => print(&values),
            Err(error) => match exit_code(&error) {
                Some(code) => Verdict::Exited(code),
                None if get_remaining_points(store, instance) == MeteringPoints::Exhausted => {
                    Verdict::Trapped(format!("the fuel of {} operations is used up", self.order.fuel))
                }
                None => trapped(&error),
            },
        }
    }
}

/// Makes the instance as wasmer's own way does, but with the calls of the versions only that the module names: all of
/// them are some five hundred, and cost more than the rest.
fn start(mut env: WasiFunctionEnv, store: &mut Store, module: &Module) -> Result<Instance, Verdict> {
    let mut imports = env.import_object_for_all_wasi_versions(store, module).map_err(failed)?;
    let wanted = module.imports().find_map(|import| match import.ty() {
        ExternType::Memory(kind) => Some(*kind),
        _ => None,
    });
    let mut memory = wanted.map(|kind| Memory::new(store, kind)).transpose().map_err(failed)?;
    if let Some(memory) = &memory {
        imports.define("env", "memory", memory.clone());
    }
    super::calls::allow(module, store, &mut imports);
    let instance = Instance::new(store, module, &imports).map_err(not_instantiated)?;
    let mut exported = instance.exports.iter().filter_map(|(_, export)| match export {
        Extern::Memory(memory) => Some(memory.clone()),
        _ => None,
    });
    memory = memory.or_else(|| exported.next());
    let memory = memory.ok_or_else(|| failed("it neither exports nor imports a memory"))?;
    let handles = WasiModuleInstanceHandles::new(memory, store, instance.clone(), None);
    let handles = WasiModuleTreeHandles::Static(handles);
    env.initialize_handles_and_layout(store, instance.clone(), handles, None, true).map_err(failed)?;
    if let Ok(initialize) = instance.exports.get_function("_initialize") {
        initialize.call(store, &[]).map_err(|error| trapped(&error))?;
    }
    Ok(instance)
}

fn exit_code(error: &RuntimeError) -> Option<i32> {
    match error.downcast_ref::<WasiError>() {
        Some(WasiError::Exit(code)) => Some(code.raw()),
        _ => None,
    }
}

fn trapped(error: &RuntimeError) -> Verdict {
    match exit_code(error) {
        Some(code) => Verdict::Exited(code),
        None => Verdict::Trapped(error.message()),
    }
}

fn not_instantiated(error: InstantiationError) -> Verdict {
    match error {
        InstantiationError::Start(trap) => trapped(&trap),
        other => failed(other),
    }
}

fn failed(why: impl std::fmt::Display) -> Verdict {
    Verdict::Failed(format!("the module cannot be instantiated: {why}"))
}

/// The arguments as the numbers that the function takes.
fn numbers(function: &Function, store: &Store, args: &[String]) -> Result<Vec<Value>, String> {
    let wanted = function.ty(store);
    if wanted.params().len() != args.len() {
        return Err(format!("the function takes {} numbers, not {}", wanted.params().len(), args.len()));
    }
    let number = |(kind, text): (&Type, &String)| {
        let text = text.trim();
        let value = match kind {
            Type::I32 => text.parse().or_else(|_| text.parse::<u32>().map(|n| n as i32)).ok().map(Value::I32),
            Type::I64 => text.parse().or_else(|_| text.parse::<u64>().map(|n| n as i64)).ok().map(Value::I64),
            Type::F32 => text.parse().ok().map(Value::F32),
            Type::F64 => text.parse().ok().map(Value::F64),
            other => return Err(format!("the function takes a {other}, which is no number")),
        };
        value.ok_or_else(|| format!("{text:?} is not a number of type {kind}"))
    };
    wanted.params().iter().zip(args).map(number).collect()
}

/// Writes a function's results to the output, one a line.
fn print(values: &[Value]) -> Verdict {
    let mut text = String::new();
    for value in values {
        text += &match value {
            Value::I32(number) => format!("{number}\n"),
            Value::I64(number) => format!("{number}\n"),
            Value::F32(number) => format!("{number}\n"),
            Value::F64(number) => format!("{number}\n"),
            other => format!("{other:?}\n"),
        };
    }
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => Verdict::Exited(0),
        Err(error) => Verdict::Failed(format!("the results could not be written: {error}")),
    }
}
