# Fits one model with lavaan: reads request.json and data.csv from the folder given, writes result.json there.
# The request is data from beginning to end; nothing of it becomes R code in this file.

empty_as <- function(value, default) if (is.null(value)) default else value

read_data <- function(file, numeric) {
  classes <- ifelse(numeric, "numeric", "character")
  utils::read.csv(file, check.names = FALSE, colClasses = classes, na.strings = "NA", encoding = "UTF-8",
                  quote = "\"", comment.char = "", stringsAsFactors = FALSE)
}

# One element per group, however many groups there are.
by_group <- function(fit, value) if (lavaan::lavInspect(fit, "ngroups") == 1L) list(value) else unname(value)

moments_of <- function(group) {
  cov <- unclass(group$cov)
  list(variables = rownames(cov), mean = as.numeric(group$mean), cov = unname(cov))
}

square_of <- function(matrix) {
  matrix <- unclass(matrix)
  list(variables = rownames(matrix), values = unname(matrix))
}

rows_of <- function(frame) {
  frame <- as.data.frame(unclass(frame), stringsAsFactors = FALSE)
  if (is.null(frame$group)) frame$group <- rep(1L, nrow(frame))
  if (is.null(frame$label)) frame$label <- rep("", nrow(frame))
  frame$group[frame$op %in% c(":=", "==", "<", ">")] <- 0L
  as.list(frame)
}

scores_of <- function(fit) {
  if (length(lavaan::lavNames(fit, "lv")) == 0L) return(list())
  scores <- by_group(fit, lavaan::lavPredict(fit, assemble = FALSE))
  cases <- by_group(fit, lavaan::lavInspect(fit, "case.idx"))
  Map(function(rows, values) list(rows = rows, latent = colnames(values), values = unname(unclass(values))),
      cases, scores)
}

patterns_of <- function(fit) {
  counts <- lapply(by_group(fit, lavaan::lavInspect(fit, "patterns")), nrow)
  as.integer(unlist(counts))
}

r_squared_of <- function(fit) {
  values <- by_group(fit, lavaan::lavInspect(fit, "rsquare"))
  list(group = rep(seq_along(values), lengths(values)), variable = as.character(unlist(lapply(values, names))),
       r2 = as.numeric(unlist(values)))
}

estimate <- function(request, data) {
  name <- match.arg(request$func, c("sem", "cfa", "growth", "lavaan"))
  # By name, not as a function: lavaan looks at the name it was called by.
  do.call(name, c(list(model = request$model, data = data), request$options), envir = asNamespace("lavaan"))
}

read_fit <- function(fit, attempt) {
  labels <- as.character(lavaan::lavInspect(fit, "group.label"))
  if (length(labels) == 0L) labels <- ""
  measures <- empty_as(attempt(lavaan::fitMeasures(fit)), numeric(0))
  list(
    converged = jsonlite::unbox(lavaan::lavInspect(fit, "converged")),
    group_labels = labels,
    nobs = as.integer(lavaan::lavInspect(fit, "nobs")),
    npatterns = attempt(patterns_of(fit)),
    loglik = jsonlite::unbox(as.numeric(empty_as(attempt(lavaan::logLik(fit)), NA))),
    parameters = rows_of(lavaan::parameterEstimates(fit)),
    standardized = rows_of(empty_as(attempt(lavaan::standardizedSolution(fit)), data.frame())),
    fit_measures = list(name = names(measures), value = as.numeric(measures)),
    coverage = lapply(by_group(fit, attempt(lavaan::lavInspect(fit, "coverage"))), square_of),
    implied = lapply(by_group(fit, lavaan::fitted(fit)), moments_of),
    saturated = lapply(by_group(fit, lavaan::lavInspect(fit, "sampstat")), moments_of),
    scores = attempt(scores_of(fit)),
    r_squared = r_squared_of(fit)
  )
}

run <- function(request, data) {
  said <- character(0)
  hear <- function(warning) {
    said <<- c(said, trimws(conditionMessage(warning)))
    invokeRestart("muffleWarning")
  }
  # What cannot be had from a fit (no saturated model, say) must not cost us the rest.
  attempt <- function(expression) tryCatch(expression, error = function(e) {
    said <<- c(said, conditionMessage(e))
    NULL
  })
  answer <- tryCatch(
    withCallingHandlers(read_fit(estimate(request, data), attempt), warning = hear),
    error = function(e) list(error = jsonlite::unbox(conditionMessage(e)))
  )
  c(answer, list(warnings = said))
}

main <- function(folder) {
  for (package in c("lavaan", "jsonlite")) {
    if (!requireNamespace(package, quietly = TRUE)) stop("the R package ", package, " is not installed")
  }
  request <- jsonlite::fromJSON(file.path(folder, "request.json"), simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
  answer <- run(request, read_data(file.path(folder, "data.csv"), as.logical(request$numeric)))
  answer$r_version <- jsonlite::unbox(as.character(getRversion()))
  answer$lavaan_version <- jsonlite::unbox(as.character(utils::packageVersion("lavaan")))
  text <- jsonlite::toJSON(answer, digits = NA, na = "null", null = "null", dataframe = "columns")
  writeLines(enc2utf8(text), file.path(folder, "result.json"), useBytes = TRUE)
}

main(commandArgs(trailingOnly = TRUE)[[1L]])
