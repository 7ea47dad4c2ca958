//! Which tests are which proof. A filter is a part of a test's name, as `cargo test` takes it.

/// A proof.
#[derive(Debug)]
pub struct Proof {
    /// Its name.
    pub name: &'static str,
    /// What holds.
    pub holds: &'static str,
    /// Its tests.
    pub tests: &'static [Tests],
    /// They need a release build and a model.
    pub needs_house: bool,
}

/// Tests of one target.
#[derive(Debug)]
pub struct Tests {
    /// The target.
    pub target: &'static str,
    /// Parts of their names.
    pub filters: &'static [&'static str],
}

const fn tests(target: &'static str, filters: &'static [&'static str]) -> Tests {
    Tests { target, filters }
}

const fn proof(name: &'static str, holds: &'static str, tests: &'static [Tests]) -> Proof {
    Proof { name, holds, tests, needs_house: false }
}

/// All proofs that are due, in the order in which they are run and written.
pub const PROOFS: &[Proof] = &[
    proof(
        "TX1",
        "no path, link, device or swapped folder leads out of a workspace; 512 KiB and a byte answers 403",
        &[
            tests(
                "fs",
                &[
                    "exactly_512_kib_is_fine_and_one_byte_more_is_not",
                    "links_of_every_kind_are_refused",
                    "fifos_sockets_and_devices_are_refused_without_waiting",
                    "a_folder_that_is_swapped_with_a_link_at_every_moment_lets_nothing_out",
                    "names_with_percent_signs_and_look_alikes_are_just_names",
                    "ten_thousand_random_paths_never_leave_the_folder",
                ],
            ),
            tests("service", &["hostile_paths_are_refused_at_every_door_and_a_byte_too_many_is_403"]),
        ],
    ),
    proof(
        "TX2",
        "fork bombs stay within 64 processes, are gone 2 s after their time, and the next run works",
        &[
            tests("run", &["a_fork_bomb_stays_small_and_leaves_nothing"]),
            tests("micro", &["a_fork_bomb_in_gvisor_is_bounded_and_leaves_nothing"]),
        ],
    ),
    proof(
        "TX3",
        "memory bombs end at their own limit and the service lives on",
        &[
            tests("run", &["memory_bombs_of_every_kind_end_at_their_own_limit"]),
            tests("micro", &["memory_bombs_in_gvisor_end_at_their_own_limit"]),
        ],
    ),
    proof(
        "TX4",
        "of endless output 1 MiB is kept, marked as cut, and the service grows by less than 20 MiB",
        &[
            tests("run", &["a_flood_of_output_is_cut_and_ended", "a_writer_without_end_is_kept_small"]),
            tests("micro", &["a_flood_of_output_is_cut"]),
        ],
    ),
    proof(
        "TX5",
        "a full disk is the program's own; the host's stays as it was",
        &[
            tests("run", &["a_full_disk_is_the_programs_own"]),
            tests("micro", &["a_full_disk_in_gvisor_is_the_programs_own"]),
        ],
    ),
    proof(
        "TX6",
        "loops, sleepers, deaf, stopped and orphaned processes are gone a second after their time",
        &[
            tests("run", &["loops_sleepers_and_daemons_are_gone_with_their_run"]),
            tests("micro", &["loops_sleepers_and_daemons_in_gvisor_are_gone_with_their_run"]),
        ],
    ),
    proof(
        "TX7",
        "no network is reached: no family of sockets, no address, no path, no abstract name",
        &[tests("run", &["no_network_is_reached"]), tests("micro", &["no_network_is_reached_from_gvisor"])],
    ),
    proof(
        "TX8",
        "nothing of the host is visible, and dangerous calls of the kernel are refused",
        &[
            tests("run", &["nothing_of_the_host_is_visible", "dangerous_calls_of_the_kernel_are_refused"]),
            tests("micro", &["nothing_of_the_host_is_visible_from_gvisor"]),
            tests("service", &["no_program_sees_another_persons_working_copy"]),
        ],
    ),
    proof(
        "TX9",
        "a program has descriptors 0, 1 and 2, whatever the service has open",
        &[
            tests("run", &["what_the_service_has_open_no_program_inherits"]),
            tests("micro", &["what_the_service_has_open_gvisor_does_not_inherit"]),
        ],
    ),
    proof(
        "TX10",
        "exit code, signal, time, memory, trap and cancelling are told apart by the API",
        &[tests("service", &["every_end_of_a_run_is_told_apart"])],
    ),
    proof(
        "TX11",
        "hostile WebAssembly is bounded in time and memory",
        &[tests(
            "wasm",
            &[
                "hostile_modules_are_bounded",
                "a_loop_ends_when_its_fuel_is_used_up",
                "a_module_of_ten_megabytes_is_bounded_when_it_is_compiled",
                "modules_that_are_bombs_for_a_compiler_are_bounded",
                "modules_that_wait_or_grow_are_bounded",
                "calls_of_wasix_reach_nothing",
            ],
        )],
    ),
    proof(
        "TX12",
        "a guest that panics or floods harms nobody, machines share nothing; without virtualisation there is a remedy",
        &[tests("micro", &["hardware::"])],
    ),
    proof(
        "TX13",
        "a hundred runs of five people take fair turns, answer right and leave nothing",
        &[
            tests("run", &["a_hundred_runs_take_fair_turns_and_leave_nothing_behind"]),
            tests("service", &["a_hundred_runs_of_five_people_are_all_right"]),
        ],
    ),
    proof(
        "TX14",
        "after kill -9 of the service nothing of its runs is left within 5 s",
        &[
            tests("run", &["when_the_service_is_killed_its_runs_go_with_it"]),
            tests("micro", &["when_the_service_is_killed_its_containers_are_reaped"]),
        ],
    ),
    proof(
        "TU6",
        "two writers on one file lose no update and never block each other for good; restores are byte-identical",
        &[tests(
            "service",
            &[
                "two_agents_on_one_file_lose_no_update",
                "two_writers_by_version_lose_no_update",
                "hundreds_of_restores_give_the_same_bytes",
            ],
        )],
    ),
    proof(
        "wasi",
        "programs of WASI preview 1 do what they do in wasmtime, and reach no file and no socket",
        &[tests("wasm", &["wasi::"])],
    ),
    Proof {
        name: "TU4",
        holds: "the same act three times stops and asks; a task ends at its steps and its tokens",
        tests: &[tests("alone", &["the_same_act_three_times_asks_and_steps_and_tokens_have_their_ends"])],
        needs_house: true,
    },
    Proof {
        name: "TU5",
        holds: "a workspace that gives orders gets no network, no secret, nothing outside it, and no act unasked",
        tests: &[tests(
            "alone",
            &["a_workspace_that_gives_orders_gets_no_network_no_secret_and_nothing_outside_it"],
        )],
        needs_house: true,
    },
    Proof {
        name: "TG4",
        holds: "a cancelled task leaves no generation, no program and no lock within half a second",
        tests: &[tests(
            "alone",
            &["a_cancel_leaves_no_generation_no_program_and_no_lock_within_half_a_second"],
        )],
        needs_house: true,
    },
    Proof {
        name: "actions",
        holds: "200 of 200 answers of the bundled model at temperature 1 are actions",
        tests: &[tests("journeys", &["every_answer_of_the_bundled_model_at_temperature_1_is_an_action"])],
        needs_house: true,
    },
    Proof {
        name: "plans",
        holds: "50 of 50 plans of the bundled model for five repositories keep the contract and the rules of the house",
        tests: &[tests(
            "journeys",
            &["every_plan_of_the_bundled_model_keeps_the_contract_and_the_rules_of_the_house"],
        )],
        needs_house: true,
    },
    Proof {
        name: "agents",
        holds: "kill -9 of the agents at every step of a task: it goes on, no act is done twice, the books are whole",
        tests: &[tests("alone", &["a_task_whose_agents_are_killed_goes_on_and_does_nothing_twice"])],
        needs_house: true,
    },
    Proof {
        name: "handover",
        holds: "one agent hands over to the next within 5 ms, 99 of 100 times",
        tests: &[tests("alone", &["agents_hand_over_within_five_milliseconds"])],
        needs_house: true,
    },
    Proof {
        name: "queue",
        holds: "100 tasks of two people on two workers: none lost, none twice, fair",
        tests: &[tests("alone", &["a_hundred_tasks_on_two_workers_are_fair_and_each_is_done_once"])],
        needs_house: true,
    },
    Proof {
        name: "kills",
        holds: "kill -9 of each process under load loses no write, lock, snapshot or ledger row; restores stay whole",
        tests: &[tests("alone", &["kill_9_of_each_child_under_load_loses_nothing"])],
        needs_house: true,
    },
    Proof {
        name: "terminal",
        holds: "an endless writer costs the service 20 MiB at most and stops within a second; a killed edge loses no byte",
        tests: &[tests(
            "alone",
            &[
                "a_terminal_goes_on_while_the_edge_is_killed_and_nothing_of_its_ring_is_lost",
                "an_endless_writer_in_a_terminal_and_in_a_run_costs_the_service_little_and_obeys_within_a_second",
            ],
        )],
        needs_house: true,
    },
];
