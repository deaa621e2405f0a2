"""Which tests show what each row of docs/reference/inputs.md says: the first words of the row, and the functions."""

from __future__ import annotations

INPUTS = "tests/inputs/test_"

ROWS: dict[str, tuple[str, ...]] = {
    "a table of experts": (
        f"{INPUTS}indices.py::test_a_table_that_numbers_no_expert_is_not_built",
        f"{INPUTS}indices.py::test_verify_names_the_number_in_a_bundle",
        f"{INPUTS}indices.py::test_verify_names_the_number_in_a_gguf",
    ),
    "a `tokenizer.json` with ids": (
        f"{INPUTS}plans.py::test_tokens_beyond_the_embedding_and_stop_tokens_that_are_none",
    ),
    "control tensors": (f"{INPUTS}plans.py::test_control_tensors_in_bf16_are_widened_exactly",),
    "`config.json` whose keys": (f"{INPUTS}plans.py::test_a_config_inside_text_config_is_read_as_if_it_stood_outside",),
    "`config.json` that has lost": (f"{INPUTS}plans.py::test_what_the_bundle_needs_is_missed_by_plan",),
    "names of transformers": (
        f"{INPUTS}dialects.py::test_transformers_names_build_the_same_bundle",
        f"{INPUTS}dialects.py::test_the_table_is_a_bijection_onto_transformers_own_class",
        f"{INPUTS}proofs.py::test_a_runtime_is_compared_with_such_a_source",
    ),
    "`weight_scale_inv`": (f"{INPUTS}dialects.py::test_a_prefix_and_other_words_for_scales_are_seen_through",),
    "every matrix in BF16": (f"{INPUTS}dialects.py::test_transformers_names_build_the_same_bundle",),
    "scales in F32": (
        f"{INPUTS}storage.py::test_scales_that_are_stored_otherwise",
        f"{INPUTS}storage.py::test_a_scale_that_is_no_power_of_two_is_refused_where_it_is",
    ),
    "experts in FP8": (
        f"{INPUTS}storage.py::test_fp8_experts_with_the_tiles_of_the_config",
        f"{INPUTS}storage.py::test_fp8_experts_with_a_scale_for_each_row_and_32_columns",
    ),
    "one expert stored otherwise": (f"{INPUTS}storage.py::test_single_experts_stored_otherwise_than_their_stack",),
    "scales of another kind": (f"{INPUTS}storage.py::test_scales_of_no_known_kind_are_refused_with_the_reason",),
    "experts pruned in every layer": (
        f"{INPUTS}derivatives.py::test_experts_pruned_alike_and_the_config_left_as_it_was",
    ),
    "another number of experts": (f"{INPUTS}derivatives.py::test_another_number_of_experts_in_each_layer_is_named",),
    "experts of the layers pruned": (
        f"{INPUTS}derivatives.py::test_pruned_layers_with_a_stage_of_full_width",
        f"{INPUTS}derivatives.py::test_a_dspark_stage_of_full_width_says_so_in_the_config",
    ),
    "fewer experts for a token": (f"{INPUTS}derivatives.py::test_fewer_experts_for_a_token_than_the_table_has",),
    "a few tensors in a file": (
        f"{INPUTS}indexes.py::test_the_index_decides_which_copy_is_used_and_says_so",
        f"{INPUTS}indexes.py::test_a_bundle_of_an_overlay_is_that_of_the_same_tensors_alone",
    ),
    "an index of another time": (f"{INPUTS}indexes.py::test_an_index_that_is_not_that_of_the_files",),
    "names of another tool": (f"{INPUTS}dialects.py::test_names_of_a_tool_that_no_table_knows_are_one_error",),
    "MTP tensors removed": (f"{INPUTS}plans.py::test_stages_that_are_gone_are_dropped_or_the_mend_is_told",),
    "no MTP stage, and": (f"{INPUTS}plans.py::test_stages_that_are_gone_are_dropped_or_the_mend_is_told",),
    "`eos_token_id` is a list": (
        f"{INPUTS}plans.py::test_one_list_of_stop_tokens_in_every_file",
        f"{INPUTS}plans.py::test_a_gguf_stops_at_two_tokens_and_has_room_for_no_third",
    ),
    "a rule that drops tensors": (
        f"{INPUTS}plans.py::test_rules_that_drop_what_is_needed_or_name_layers_that_are_not_there",
    ),
    "a fine-tune, a pruned model": (
        f"{INPUTS}provenance.py::test_a_folder_of_unknown_origin_is_called_that",
        f"{INPUTS}provenance.py::test_the_word_of_the_sources_own_card_is_told_as_its_word",
    ),
    "a snapshot in the hub's cache": (
        f"{INPUTS}provenance.py::test_a_snapshot_of_the_cache_and_the_user_are_believed",
    ),
    "`hf://org/repo` without": (
        "tests/hub/test_open.py::test_a_recipe_s_pin_is_what_a_repository_without_a_revision_means",
    ),
    "another commit than": (f"{INPUTS}provenance.py::test_a_contradicting_pin_is_refused_by_plan",),
    "`layers: [0-99]`": (f"{INPUTS}plans.py::test_rules_that_drop_what_is_needed_or_name_layers_that_are_not_there",),
    "an importance file": (
        "tests/importance/test_read.py::test_an_expert_that_calibration_never_reached_counts_alike_and_is_counted",
    ),
    "a shard of full length": ("tests/builder/test_zeros.py::test_a_matrix_of_zeros_is_refused_unless_it_is_meant",),
    "a matrix with some stretches": (
        "tests/builder/test_zeros.py::test_some_zeros_are_told_by_name_at_the_end",
        "tests/builder/test_zeros.py::test_the_journal_tells_a_build_that_continues",
        "tests/builder/test_zeros.py::test_a_gguf_that_is_continued_tells_too_and_zeros_are_not_believed_again",
    ),
    "BF16 tensors kept": (f"{INPUTS}plans.py::test_rules_that_drop_what_is_needed_or_name_layers_that_are_not_there",),
    "git-lfs pointers": (
        f"{INPUTS}other_things.py::test_git_lfs_pointers",
        f"{INPUTS}other_things.py::test_a_gguf_that_is_a_pointer",
    ),
    "an MLX bundle, or a model of": (
        f"{INPUTS}other_things.py::test_a_bundle_and_a_gguf",
        f"{INPUTS}other_things.py::test_a_model_that_is_quantized_already",
        f"{INPUTS}other_things.py::test_what_quantizers_leave_beside_a_model_tells_them",
    ),
    "a GGUF file as a source": (
        f"{INPUTS}other_things.py::test_a_bundle_and_a_gguf",
        f"{INPUTS}other_things.py::test_a_folder_with_files_of_another_kind",
    ),
    "a download that is not complete": (f"{INPUTS}indexes.py::test_a_download_that_is_not_complete_is_one_line",),
    "the folder `models--ORG--NAME`": (
        f"{INPUTS}other_things.py::test_the_folder_of_the_hubs_cache",
        f"{INPUTS}other_things.py::test_a_bundle_in_the_hubs_cache",
    ),
    "a bundle with `.git`": (
        "tests/hub/test_published.py::test_a_published_bundle_is_verified_after_the_download",
        "tests/hub/test_published.py::test_a_source_with_what_tools_leave_builds_the_same_bundle",
    ),
    "a bundle whose card": (
        "tests/hub/test_published.py::test_what_people_edit_is_a_warning_and_what_loaders_read_is_proven",
    ),
    "a file more, which no loader": (
        "tests/hub/test_published.py::test_what_people_edit_is_a_warning_and_what_loaders_read_is_proven",
    ),
    "a file more, which a loader": (
        "tests/hub/test_published.py::test_what_people_edit_is_a_warning_and_what_loaders_read_is_proven",
    ),
    "a config.json that marks": (
        "tests/verifier/test_fix_config.py::test_what_is_marked_unquantized_is_mended_and_only_what_changed_is_counted",
    ),
    "a shard, a tokenizer or": (
        "tests/hub/test_published.py::test_what_people_edit_is_a_warning_and_what_loaders_read_is_proven",
    ),
    "a hub, mirror or proxy": (
        "tests/hub/test_open.py::test_an_endpoint_that_answers_with_something_else_is_refused_in_our_words",
        "tests/hub/test_open.py::test_a_page_in_place_of_a_file_is_refused",
    ),
    "a network that is down": (
        "tests/hub/test_parents.py::test_a_network_that_is_down_is_told_at_once_and_a_cached_parent_does_not_need_it",
        "tests/hub/test_open.py::test_no_such_repository_revision_or_network",
    ),
    "a JSON file that is empty": (
        "tests/cli/test_strange_files.py::test_of_a_source",
        "tests/cli/test_strange_files.py::test_of_a_bundle",
        "tests/cli/test_strange_files.py::test_of_files_that_options_name",
    ),
    "an output (`-o`": ("tests/cli/test_paths.py::test_no_command_writes_over_a_file_of_another_kind",),
    "an output that names an older": (
        "tests/cli/test_paths.py::test_an_empty_file_a_link_and_a_pipe_may_be_written_to",
    ),
    "an empty folder at the output": ("tests/builder/test_next_try.py::test_an_empty_folder_at_the_output_is_taken",),
    "a `.partial` folder": (
        "tests/builder/test_next_try.py::test_unfinished_work_of_another_plan_gives_way_only_where_there_is_none",
    ),
    "a disk that has too little": ("tests/builder/test_next_try.py::test_a_failed_disk_check_leaves_nothing",),
    "a path that begins with `~`": (
        "tests/cli/test_paths.py::test_a_home_folder_is_found_wherever_a_path_is_typed",
        "tests/cli/test_paths.py::test_python_expands_a_home_folder_too",
        "tests/cli/test_paths.py::test_every_path_that_a_command_takes_is_expanded",
    ),
    "a file beside a GGUF output": ("tests/cli/test_paths.py::test_the_manifest_beside_a_gguf_is_not_written_over",),
    "`init` with a file name": (
        "tests/cli/test_paths.py::test_init_writes_a_recipe_that_passes_whatever_the_file_is_called",
    ),
    "a recipe whose name YAML": ("tests/builder/test_card.py::test_a_name_that_yaml_reads_otherwise_stays_text",),
    "a licence that the hub knows": (
        "tests/builder/test_card.py::test_a_licence_is_one_that_the_hub_knows_or_other_with_name_and_link",
    ),
    "another licence": (
        "tests/builder/test_card.py::test_a_licence_is_one_that_the_hub_knows_or_other_with_name_and_link",
    ),
    "a format by a name": (f"{INPUTS}hints.py::test_a_format_by_another_name",),
    "a role by a name": (f"{INPUTS}hints.py::test_a_role_by_another_name",),
    "a glob with a typo": (f"{INPUTS}hints.py::test_a_typo_under_mtp_drop_is_mended_in_the_layers_that_are_left",),
}
