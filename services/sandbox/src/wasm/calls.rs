//! Which calls a module may make: those for its arguments, its environment, clocks, chance, and its own three streams.
//!
//! wasmer gives every module a folder in memory and knows many calls more than WASI has. None of it is wanted here:
//! there are no files, no sockets and no other processes for a module, and it is told so as it would be elsewhere.

use wasmer::{
    AsStoreMut as _, Extern, ExternType, Function, FunctionEnv, FunctionEnvMut, FunctionType, Imports,
    Module, Store, Type, Value,
};

/// Calls that touch nothing but the module itself.
const FREE: [&str; 11] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
];
/// Calls on a descriptor; those of two descriptors have them first.
const STREAMS: [&str; 9] = [
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_filestat_get",
    "fd_read",
    "fd_renumber",
    "fd_seek",
    "fd_tell",
    "fd_write",
];
/// The highest descriptor that a module has.
const LAST_STREAM: i32 = 2;
/// WASI's words for "there is no such descriptor" and "there is no such call".
const BAD_DESCRIPTOR: i32 = 8;
const NOT_IMPLEMENTED: i32 = 52;

/// Takes from a module's imports all but what it may call.
pub fn allow(module: &Module, store: &mut Store, imports: &mut Imports) {
    for import in module.imports() {
        let (space, name) = (import.module(), import.name());
        let ExternType::Function(kind) = import.ty() else { continue };
        if !space.starts_with("wasi") || FREE.contains(&name) {
            continue;
        }
        let function = match imports.get_export(space, name) {
            Some(Extern::Function(call)) if STREAMS.contains(&name) => on_streams(store, name, kind, call),
            _ => refused(store, name, kind),
        };
        imports.define(space, name, function);
    }
}

/// The call, for descriptors that a module has.
fn on_streams(store: &mut Store, name: &str, kind: &FunctionType, call: Function) -> Function {
    let descriptors = if name == "fd_renumber" { 2 } else { 1 };
    let env = FunctionEnv::new(store, call);
    Function::new_with_env(store, &env, kind, move |mut env: FunctionEnvMut<'_, Function>, args| {
        let own = |arg: &Value| matches!(arg, Value::I32(fd) if (0..=LAST_STREAM).contains(fd));
        if !args.iter().take(descriptors).all(own) {
            return Ok(vec![Value::I32(BAD_DESCRIPTOR)]);
        }
        let call = env.data().clone();
        call.call(&mut env.as_store_mut(), args).map(Vec::from)
    })
}

/// Answers that there is no such thing.
fn refused(store: &mut Store, name: &str, kind: &FunctionType) -> Function {
    let known = ["path_", "fd_", "sock_"].iter().any(|start| name.starts_with(start));
    let errno = if known { BAD_DESCRIPTOR } else { NOT_IMPLEMENTED };
    let answer: Vec<Value> = kind
        .results()
        .iter()
        .map(|result| match result {
            Type::I64 => Value::I64(i64::from(errno)),
            _ => Value::I32(errno),
        })
        .collect();
    Function::new(store, kind, move |_| Ok(answer.clone()))
}
