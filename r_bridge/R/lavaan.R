# What lavaan is asked for: fits, and the tables that its functions give of a fit. Model, data and options come in as
# values; none of them becomes R code in this file.

# ---- fitting ---------------------------------------------------------------------------------------------------

FUNCTIONS <- c("sem", "cfa", "growth", "lavaan")

estimate <- function(model, data, func, options) {
  func <- match.arg(func, FUNCTIONS)
  if (!is.null(options$aux)) {
    return(do.call(saturated_correlates(), c(list(model = model, data = data, fun = func), options)))
  }
  # By name, not as a function: lavaan looks at the name it was called by.
  do.call(func, c(list(model = model, data = data), options), envir = asNamespace("lavaan"))
}

# semTools adds auxiliary variables to the model and to the baseline. It looks for lavaan's functions by name, on the
# search path or, here, where it is defined.
saturated_correlates <- function() {
  if (!requireNamespace("semTools", quietly = TRUE)) {
    stop('auxiliary variables need the R package semTools: install.packages("semTools")')
  }
  auxiliary <- semTools::auxiliary
  functions <- mget(FUNCTIONS, envir = asNamespace("lavaan"))
  environment(auxiliary) <- list2env(functions, parent = asNamespace("semTools"))
  auxiliary
}

known_options <- function() {
  unique(c(names(formals(lavaan::lavaan)), names(lavaan::lavOptions()), "aux"))
}

versions <- function() {
  list(R = as.character(getRversion()), lavaan = as.character(utils::packageVersion("lavaan")))
}

# A fit and the tables asked for.
fit_tables <- function(model, data, func, options, tables) {
  fit <- estimate(model, data, func, options)
  c(list(converged = lavaan::lavInspect(fit, "converged"), turned = character(0)), read_tables(fit, tables))
}

# As exact as lavaan can be: it climbs by itself first, and once more with `tight` options from where it ended. There
# the optimiser may end in "false convergence", which is no failure then; whether it converged is judged before.
# `turn` names factors whose sign the model leaves open, with the parameters that change sign with each, the one that
# is to be positive first.
exact_tables <- function(model, data, func, options, tables, tight, turn = NULL) {
  bare <- if (is.null(options$aux)) list(se = "none", test = "none", baseline = FALSE, h1 = FALSE) else list()
  first <- estimate(model, data, func, utils::modifyList(options, bare))
  if (!lavaan::lavInspect(first, "converged")) tight <- list()  # nothing to sharpen
  start <- turned_estimates(lavaan::parTable(first), turn)
  # As a table rather than by start=, which would reach the baseline model, too.
  again <- list(aux = NULL, fixed.x = lavaan::lavInspect(first, "options")$fixed.x, optim.attempts = 1L,
                optim.force.converged = TRUE)
  # What there is to warn of has been said of the first.
  fit <- suppressWarnings(estimate(start$table, data, func, utils::modifyList(options, c(tight, again))))
  fit@external <- first@external  # the baseline with auxiliary variables
  c(list(converged = lavaan::lavInspect(first, "converged"), turned = start$factors), read_tables(fit, tables))
}

read_tables <- function(fit, tables) {
  failures <- character(0)
  attempt <- function(name) {
    tryCatch(TABLES[[name]](fit), error = function(e) {
      failures[[name]] <<- conditionMessage(e)
      NULL
    })
  }
  found <- lapply(stats::setNames(nm = as.character(tables)), attempt)
  c(versions(), list(
    iterations = as.integer(lavaan::lavInspect(fit, "iterations"))[[1L]], group_labels = group_labels(fit), tables = found,
    failures = as.list(failures)
  ))
}

turned_estimates <- function(table, turn) {
  key <- function(frame) paste(frame$lhs, frame$op, frame$rhs, frame$group, sep = "\r")
  factors <- character(0)
  for (factor in unique(turn$factor)) {
    rows <- match(key(turn[turn$factor == factor, ]), key(table))
    if (anyNA(rows) || table$est[rows[[1L]]] >= 0) next
    table$est[rows] <- -table$est[rows]
    factors <- c(factors, factor)
  }
  free <- table$free > 0L
  table$ustart[free] <- table$est[free]
  list(factors = factors, table = as.list(table[setdiff(names(table), c("start", "est", "se"))]))
}

# The engine's fit: the parameters of a table that we made, on rows (or complete-data moments) that we chose.
engine_fit <- function(table, data, moments, options) {
  arguments <- c(list(model = as.list(table)), options)
  if (is.null(moments)) {
    arguments$data <- data
  } else {
    covs <- lapply(moments$cov, function(frame) `rownames<-`(as.matrix(frame), names(frame)))
    one <- length(covs) == 1L
    arguments$sample.cov <- if (one) covs[[1L]] else covs
    if (!is.null(moments$mean)) arguments$sample.mean <- if (one) moments$mean[[1L]] else moments$mean
    arguments$sample.nobs <- moments$n
    arguments$sample.cov.rescale <- FALSE
  }
  fit <- do.call("lavaan", arguments, envir = asNamespace("lavaan"))
  found <- lavaan::parTable(fit)
  list(table = as.data.frame(found[c("lhs", "op", "rhs", "group", "free", "est")]),
       iterations = as.integer(lavaan::lavInspect(fit, "iterations"))[[1L]], version = versions()$lavaan)
}

# ---- tables ----------------------------------------------------------------------------------------------------

group_labels <- function(fit) {
  labels <- as.character(lavaan::lavInspect(fit, "group.label"))
  if (length(labels) == 0L) "" else labels
}

# One element per group, however many there are.
by_group <- function(fit, value) {
  if (lavaan::lavInspect(fit, "ngroups") == 1L) list(value) else unname(value)
}

frame_of <- function(value) as.data.frame(unclass(value), stringsAsFactors = FALSE)

matrices <- function(fit, value, part = NULL) {
  found <- lapply(by_group(fit, value), function(group) {
    matrix <- unclass(if (is.null(part)) group else group[[part]])
    attributes(matrix) <- attributes(matrix)[intersect(names(attributes(matrix)), c("dim", "dimnames", "names"))]
    matrix
  })
  if (any(vapply(found, is.null, NA))) NULL else found
}

# Where the rows that lavaan used stand in the data, group by group: the order of tables with a row per row.
cases <- function(fit) {
  rows <- by_group(fit, lavaan::lavInspect(fit, "case.idx"))
  data.frame(row = as.integer(unlist(rows)), group = rep(group_labels(fit), lengths(rows)))
}

factor_scores <- function(fit, method = "EBM") {
  if (length(lavaan::lavNames(fit, "lv")) == 0L) return(NULL)
  stack(by_group(fit, unclass(lavaan::lavPredict(fit, method = method, assemble = FALSE))))
}

stack <- function(groups) {
  stacked <- do.call(rbind, lapply(groups, unclass))
  matrix(as.numeric(stacked), nrow(stacked), dimnames = list(NULL, colnames(stacked)))
}

# E[missing | observed] of every row, from the moments that the model implies; observed cells as they are.
conditional_expectations <- function(fit) {
  implied <- by_group(fit, lavaan::fitted(fit))
  data <- by_group(fit, lavaan::lavInspect(fit, "data"))
  stack(Map(function(values, moments) {
    values <- unclass(values)
    mean <- moments$mean[colnames(values)]
    cov <- unclass(moments$cov)[colnames(values), colnames(values), drop = FALSE]
    pattern <- apply(is.na(values), 1L, function(row) paste(which(row), collapse = " "))
    for (rows in split(seq_len(nrow(values)), pattern)) {
      lost <- is.na(values[rows[[1L]], ])
      if (!any(lost)) next
      deviations <- sweep(values[rows, !lost, drop = FALSE], 2L, mean[!lost])
      weights <- if (all(lost)) matrix(0, 0L, sum(lost)) else solve(cov[!lost, !lost], cov[!lost, lost, drop = FALSE])
      values[rows, lost] <- sweep(deviations %*% weights, 2L, mean[lost], "+")
    }
    values
  }, data, implied))
}

r_squared <- function(fit) {
  values <- by_group(fit, lavaan::lavInspect(fit, "rsquare"))
  data.frame(group = rep(seq_along(values), lengths(values)), variable = as.character(unlist(lapply(values, names))),
             r2 = as.numeric(unlist(values)))
}

sample_sizes <- function(fit) {
  patterns <- lavaan::lavInspect(fit, "options")$missing %in% c("ml", "ml.x", "two.stage", "robust.two.stage")
  counts <- if (patterns) lapply(by_group(fit, lavaan::lavInspect(fit, "patterns")), nrow) else NA
  data.frame(group = group_labels(fit), nobs = as.integer(lavaan::lavInspect(fit, "nobs")),
             npatterns = as.integer(unlist(counts)))
}

free_parameters <- function(fit) {
  table <- lavaan::parTable(fit)
  free <- table$free > 0L
  order <- order(table$free[free])
  frame <- as.data.frame(table[c("lhs", "op", "rhs", "group")])[free, ][order, ]
  rownames(frame) <- NULL
  frame
}

measures <- function(fit) {
  found <- lavaan::fitMeasures(fit)
  stats::setNames(as.numeric(found), names(found))
}

option_text <- function(fit) {
  options <- lavaan::lavInspect(fit, "options")
  vapply(options, function(value) paste(format(value), collapse = " "), "")
}

TABLES <- list(
  parameterEstimates = function(fit) frame_of(lavaan::parameterEstimates(fit, standardized = TRUE)),
  standardizedSolution = function(fit) frame_of(lavaan::standardizedSolution(fit)),
  fitMeasures = measures,
  modindices = function(fit) frame_of(lavaan::modindices(fit)),
  rsquare = r_squared,
  nobs = sample_sizes,
  logLik = function(fit) as.numeric(lavaan::logLik(fit)),
  fitted.mean = function(fit) matrices(fit, lavaan::fitted(fit), "mean"),
  fitted.cov = function(fit) matrices(fit, lavaan::fitted(fit), "cov"),
  sampstat.mean = function(fit) matrices(fit, lavaan::lavInspect(fit, "sampstat"), "mean"),
  sampstat.cov = function(fit) matrices(fit, lavaan::lavInspect(fit, "sampstat"), "cov"),
  residuals.mean = function(fit) matrices(fit, lavaan::residuals(fit, type = "raw"), "mean"),
  residuals.cov = function(fit) matrices(fit, lavaan::residuals(fit, type = "raw"), "cov"),
  coverage = function(fit) matrices(fit, lavaan::lavInspect(fit, "coverage")),
  patterns = function(fit) matrices(fit, lavaan::lavInspect(fit, "patterns")),
  free = free_parameters,
  coef = function(fit) { value <- lavaan::coef(fit); stats::setNames(as.numeric(value), names(value)) },
  vcov = function(fit) { value <- lavaan::vcov(fit); matrix(value, nrow(value), dimnames = dimnames(value)) },
  parTable = function(fit) frame_of(lavaan::parTable(fit)),
  cases = cases,
  lavPredict = factor_scores,
  lavPredict.ML = function(fit) factor_scores(fit, "ML"),
  conditional = conditional_expectations,
  options = option_text
)
