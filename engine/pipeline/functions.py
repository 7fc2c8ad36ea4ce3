"""Functions as data: which may be called, each in a class that says why, and which may not, each with its reason.

A function that stands in no list is refused. Names are DuckDB 1.5.5's; operators are functions too. The lists are
checked against the installed DuckDB by a test, and printed in docs/sql.md.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED: dict[str, frozenset[str]] = {
    "operators": _names(
        "+ - * / // % ** ^ & | ~ << >> ! !__postfix || && @ ^@ <-> <=> @> <@ ~~ !~~ ~~* !~~* ~~~ -> ->>"
    ),
    "aggregates": _names(
        """any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
        arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or bit_xor
        bitstring_agg bool_and bool_or corr count count_if count_star countif covar_pop covar_samp entropy favg first
        fsum geomean geometric_mean group_concat histogram histogram_exact kahan_sum kurtosis kurtosis_pop last list
        listagg mad max max_by mean median min min_by mode product quantile quantile_cont quantile_disc regr_avgx
        regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem
        skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop var_samp variance wavg
        weighted_avg json_group_array json_group_object json_group_structure grouping grouping_id"""
    ),
    "windows": _names(
        """cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense
        row_number"""
    ),
    "numbers": _names(
        """abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees divide even
        exp factorial fdiv floor fmod gamma gcd greatest greatest_common_divisor isfinite isinf isnan lcm
        least_common_multiple least lgamma ln log log10 log2 mod multiply nextafter pi pow power radians random round
        round_even roundbankers sign signbit sin sinh sqrt subtract tan tanh trunc xor equi_width_bins
        is_histogram_other_bin"""
    ),
    "text": _names(
        """ascii bar base64 bin bit_length char_length character_length chr concat concat_ws contains
        damerau_levenshtein
        editdist3 ends_with format format_bytes formatReadableDecimalSize formatReadableSize from_base64 from_binary
        from_hex hamming hash hex ilike_escape instr jaccard jaro_similarity jaro_winkler_similarity lcase left
        left_grapheme length length_grapheme levenshtein like_escape lower lpad ltrim md5 md5_number md5_number_lower
        md5_number_upper mismatches nfc_normalize not_ilike_escape not_like_escape octet_length ord parse_dirname
        parse_dirpath parse_filename parse_formatted_bytes parse_path pg_size_pretty position prefix printf
        regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
        regexp_split_to_array regexp_split_to_table repeat replace reverse right right_grapheme rpad rtrim sha1 sha256
        split split_part starts_with str_split str_split_regex string_split string_split_regex string_to_array
        strip_accents strlen strpos substr substring substring_grapheme suffix to_base to_base64 to_binary to_hex
        translate trim ucase unbin unhex unicode upper url_decode url_encode"""
    ),
    "binary": _names("bit_position bitstring decode encode get_bit set_bit"),
    "dates": _names(
        """age ago century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub
        date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade
        epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day
        make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz microsecond millennium
        millisecond minute month monthname nanosecond normalized_interval now quarter second strftime strptime
        time_bucket timezone timezone_hour timezone_minute to_centuries to_days to_decades to_hours to_microseconds
        to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today
        transaction_timestamp try_strptime week weekday weekofyear year yearweek"""
    ),
    "lists": _names(
        """aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains
        array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct
        array_dot_product array_extract array_filter array_grade_up array_has array_has_all array_has_any array_indexof
        array_inner_product array_intersect array_length array_negative_dot_product array_negative_inner_product
        array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front array_reduce
        array_resize array_reverse array_reverse_sort array_select array_slice array_sort array_to_string
        array_to_string_comma_default array_transform array_unique array_value array_where array_zip cardinality
        element_at filter flatten generate_series generate_subscripts grade_up len list_aggr list_aggregate
        list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor
        list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance list_cosine_similarity
        list_count list_distance list_distinct list_dot_product list_element list_entropy list_extract list_filter
        list_first list_grade_up list_has list_has_all list_has_any list_histogram list_indexof list_inner_product
        list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode
        list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend list_product
        list_reduce list_resize list_reverse list_reverse_sort list_select list_sem list_skewness list_slice list_sort
        list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform list_unique list_value list_var_pop
        list_var_samp list_where list_zip range reduce unnest unpivot_list"""
    ),
    "structs, maps and unions": _names(
        """map map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value
        map_from_entries map_keys map_values remap_struct row struct_concat struct_contains struct_extract
        struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack struct_position struct_update
        struct_values union_extract union_tag union_value variant_extract variant_typeof"""
    ),
    "json": _names(
        """array_to_json from_json from_json_strict json json_array json_array_length json_contains json_exists
        json_extract json_extract_path json_extract_path_text json_extract_string json_keys json_merge_patch json_object
        json_pretty json_quote json_structure json_transform json_transform_strict json_type json_valid json_value
        json_each json_tree
        row_to_json to_json"""
    ),
    "values and types": _names(
        """cast_to_type coalesce constant_or_null enum_code enum_first enum_last enum_range enum_range_boundary
        gen_random_uuid ifnull nullif pg_typeof switch typeof uuid uuid_extract_timestamp uuid_extract_version uuidv4
        uuidv7 bit_xor"""
    ),
}
"""Reason class -> functions that compute on their arguments alone."""

DENIED: dict[str, frozenset[str]] = {
    "reads files or sockets": _names(
        """arrow_scan arrow_scan_dumb glob pandas_scan parquet_bloom_probe parquet_file_metadata parquet_full_metadata
        parquet_kv_metadata parquet_metadata parquet_scan parquet_schema python_map_function read_blob read_csv
        read_csv_auto read_duckdb read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson
        read_ndjson_auto read_ndjson_objects read_parquet read_text seq_scan sniff_csv"""
    ),
    "runs SQL from a value": _names(
        """json_deserialize_sql json_execute_serialized_sql json_serialize_plan json_serialize_sql query query_table
        summary histogram_values"""
    ),
    "shows the server, other users or the catalog": _names(
        """current_catalog current_connection_id current_database current_query current_query_id current_role
        current_schema current_schemas current_setting current_transaction_id current_user duckdb_logs_parsed
        duckdb_profiling_settings get_block_size getenv getvariable icu_calendar_names in_search_path inet_client_addr
        inet_client_port inet_server_addr inet_server_port parse_duckdb_log_message pg_conf_load_time
        pg_postmaster_start_time pg_timezone_names pragma_collations pragma_database_size pragma_metadata_info
        pragma_platform pragma_show pragma_storage_info pragma_table_info pragma_user_agent pragma_version session_user
        txid_current user version which_secret all_profiling_output col_description collations database_list
        database_size extension_versions format_pg_type format_type functions map_to_pg_oid metadata_info
        obj_description platform shobj_description show show_databases show_tables show_tables_expanded storage_info
        table_info user_agent"""
    ),
    "shows statistics of whole tables": _names("stats"),
    "raises errors that quote values": _names("error"),
    "shows the governed text or how rows are stored": _names("alias vector_type"),
    "waits": _names("sleep_ms pg_sleep"),
    "changes state": _names(
        """checkpoint currval disable_logging disable_profiling enable_logging enable_profiling force_checkpoint nextval
        setseed truncate_duckdb_logs write_log add_parquet_key copy_database import_database
        disable_checkpoint_on_shutdown disable_object_cache disable_optimizer disable_print_progress_bar
        disable_profile disable_progress_bar disable_verification disable_verify_external disable_verify_fetch_row
        disable_verify_parallelism disable_verify_serializer enable_checkpoint_on_shutdown enable_object_cache
        enable_optimizer enable_print_progress_bar enable_profile enable_progress_bar enable_verification
        verify_external verify_fetch_row verify_parallelism verify_serializer"""
    ),
    "makes test data or bounds nothing": _names("repeat_row test_all_types test_vector_types"),
    "is internal to DuckDB": _names(
        """can_cast_implicitly combine create_sort_key finalize get_type icu_sort_key make_type replace_type
        timetz_byte_comparable variant_bytes_to_variant variant_normalize variant_to_parquet_variant"""
    ),
}
"""Why not -> functions. Families refused by prefix are in `DENIED_PREFIXES`."""

DENIED_PREFIXES: dict[str, str] = {
    "duckdb_": "shows the server, other users or the catalog",
    "pragma_": "shows the server, other users or the catalog",
    "pg_": "shows the server, other users or the catalog",
    "has_": "shows the server, other users or the catalog",
    "read_": "reads files or sockets",
    "__internal": "is internal to DuckDB",
    "icu_collate": "is internal to DuckDB",
    "st_": "belongs to the spatial family, which is not served",
}

TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "json_each", "json_tree", "regexp_split_to_table", "generate_subscripts"}
)
"""Table functions that compute on their arguments alone; every other one in FROM is refused."""

DENIED_KEYWORDS = frozenset(
    {"current_catalog", "current_database", "current_role", "current_schema", "current_user", "session_user", "user"}
)

COUNT_ARGUMENTS: dict[str, tuple[int, int]] = {
    "repeat": (1, 10_000),
    "lpad": (1, 10_000),
    "rpad": (1, 10_000),
    "list_resize": (1, 100_000),
    "array_resize": (1, 100_000),
    "bitstring": (1, 100_000),
    "factorial": (0, 33),
    "bar": (3, 1_000),
    "chr": (0, 0x10FFFF),
}
"""Functions whose result grows with one argument: (its index, the most it may be). It must be a constant."""

SERIES_MAX = 10_000_000
"""Most elements `range` or `generate_series` may make inside a scalar value."""

AGGREGATES = ALLOWED["aggregates"]

CLASS_OF: dict[str, str] = {name.lower(): kind for kind, names in ALLOWED.items() for name in names}
"""Folded function name -> reason class."""

REFUSED_FOR: dict[str, str] = {name.lower(): why for why, names in DENIED.items() for name in names}
"""Folded function name -> why it is refused."""


def refusal_reason(name: str) -> str | None:
    """None when the function may be called, else why not."""
    if name in CLASS_OF:
        return None
    if name in REFUSED_FOR:
        return REFUSED_FOR[name]
    return next((why for prefix, why in DENIED_PREFIXES.items() if name.startswith(prefix)), "is not on the list")
