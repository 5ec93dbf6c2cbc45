# fosa_sem from R: structural equation models with missing data, model-implied imputation, reports, and every number
# beside lavaan's. To be sourced:
#
#   source("fosa.R")   # python -c "import r_bridge.front as f; print(f.folder())" prints the folder
#
# Needs the R package reticulate and a Python that has the package fosa-sem (RETICULATE_PYTHON names it);
# fosa_crosscheck() needs lavaan.

# ---- the way to Python -----------------------------------------------------------------------------------------

.fosa <- new.env()

# The Python side, and our R functions for handing tables over and for asking lavaan.
.fosa_bridge <- function() {
  if (!is.null(.fosa$front)) return(.fosa$front)
  if (!requireNamespace("reticulate", quietly = TRUE)) {
    stop('the R package reticulate is missing: install.packages("reticulate")', call. = FALSE)
  }
  .fosa$front <- tryCatch(reticulate::import("r_bridge.front"), error = function(e) {
    stop("Python has no package fosa-sem, or cannot load it; install it with pip, and name that Python in the ",
         "environment variable RETICULATE_PYTHON before R uses Python.\n", conditionMessage(e), call. = FALSE)
  })
  .fosa$r <- new.env(parent = baseenv())
  for (name in c("wire.R", "lavaan.R", "serve.R")) {
    sys.source(file.path(.fosa$front$folder(), name), envir = .fosa$r, keep.source = FALSE)
  }
  .fosa$front
}

# What Python replied: its value, its warnings as ours, its errors as ours.
.fosa_value <- function(reply) {
  for (text in reply$warnings) warning(text, call. = FALSE)
  if (!is.null(reply$error)) stop(reply$error, call. = FALSE)
  reply$value
}

.fosa_read <- function(reply) .fosa$r$unpack(.fosa_value(reply))

.fosa_data <- function(data) {
  if (!is.data.frame(data)) stop("data must be a data.frame", call. = FALSE)
  .fosa$r$pack(as.data.frame(data))
}

# Model, data and options of what the user gave: a model string, or a fit of lavaan's with all that it says.
.fosa_asked <- function(model, data, func, options) {
  .fosa_bridge()
  if (inherits(model, "lavaan")) {
    if (is.null(data)) data <- .fosa_data_of(model)
    options <- utils::modifyList(.fosa_options_of(model), options)
    table <- .fosa$r$pack(as.data.frame(unclass(lavaan::parTable(model)), stringsAsFactors = FALSE))
    model <- .fosa_value(.fosa$front$model_of_table(table))
    func <- "lavaan"
  } else if (!is.character(model)) {
    stop("model must be a string in lavaan's syntax, or a model fitted by lavaan", call. = FALSE)
  }
  func <- match.arg(func, c("sem", "cfa", "growth", "lavaan"))
  list(model = paste(model, collapse = "\n"), data = .fosa_data(data), func = func,
       options = .fosa$r$pack(options))
}

.fosa_data_of <- function(fit) {
  data <- lavaan::lavInspect(fit, "data")
  if (!is.list(data)) return(as.data.frame(data))
  labels <- lavaan::lavInspect(fit, "group.label")
  frames <- Map(function(values, label) {
    frame <- as.data.frame(values)
    frame[[lavaan::lavInspect(fit, "group")]] <- label
    frame
  }, data, labels)
  do.call(rbind, unname(frames))
}

.fosa_options_of <- function(fit) {
  given <- lavaan::lavInspect(fit, "options")
  missing <- switch(given$missing, ml = "fiml", ml.x = "fiml.x", given$missing)
  options <- list(missing = missing, fixed.x = given$fixed.x, meanstructure = given$meanstructure,
                  likelihood = given$likelihood, se = given$se, test = given$test[[length(given$test)]],
                  information = given$information, observed.information = given$observed.information,
                  h1.information = given$h1.information)
  if (missing %in% c("two.stage", "robust.two.stage")) options[c("se", "test")] <- NULL
  group <- lavaan::lavInspect(fit, "group")
  if (length(group) > 0L) options <- c(options, list(group = group, group.label = lavaan::lavInspect(fit, "group.label")))
  options
}

# ---- fits ------------------------------------------------------------------------------------------------------

#' Fit a structural equation model to incomplete data
#'
#' Full-information maximum likelihood by fosa_sem. The numbers are lavaan's; \code{\link{fosa_crosscheck}} compares
#' them one by one.
#'
#' @param model A model in lavaan's syntax, or a model fitted by lavaan, of which the parameter table and the options
#'   are taken over.
#' @param data A data.frame; missing values are NA. May be left out for a model fitted by lavaan, whose rows are then
#'   used.
#' @param func The function of lavaan whose defaults complete the model: "sem", "cfa", "growth" or "lavaan".
#' @param ... Options as of lavaan: \code{missing}, \code{estimator}, \code{fixed.x}, \code{std.lv}, \code{group},
#'   \code{group.equal} and so on. \code{missing} is "fiml" unless said otherwise.
#' @return An object of class \code{fosa_sem}: a list of the data.frames \code{parameters}, \code{standardized} and
#'   \code{r2}, the named vectors \code{fit_measures} and \code{coef}, the matrix \code{vcov}, \code{converged}
#'   (whether the estimate is certified as a maximum), \code{nobs}, and \code{results}, the object in Python.
#'   \code{print()} and \code{summary()} show it, \code{predict()} gives factor scores.
#' @examples
#' \dontrun{
#' fit <- fosa_sem("visual =~ x1 + x2 + x3", lavaan::HolzingerSwineford1939)
#' fit$parameters
#' }
fosa_sem <- function(model, data = NULL, func = "sem", ...) {
  asked <- .fosa_asked(model, data, func, list(...))
  results <- .fosa_value(.fosa$front$fit(asked$model, asked$data, asked$func, asked$options))
  structure(c(.fosa_read(.fosa$front$tables(results)), list(results = results)), class = "fosa_sem")
}

print.fosa_sem <- function(x, ...) {
  cat(x$summary, "\n", sep = "")
  invisible(x)
}

summary.fosa_sem <- function(object, ...) print.fosa_sem(object)

coef.fosa_sem <- function(object, ...) object$coef

vcov.fosa_sem <- function(object, ...) {
  matrix(object$vcov, length(object$coef), dimnames = list(names(object$coef), names(object$coef)))
}

as.data.frame.fosa_sem <- function(x, ...) x$parameters

predict.fosa_sem <- function(object, ...) .fosa_read(.fosa$front$predict(object$results))

# ---- imputation ------------------------------------------------------------------------------------------------

#' Fill missing values with what a structural equation model implies
#'
#' Fits the model with exogenous variables modelled, fills every missing cell of its variables with the conditional
#' expectation given the row's observed cells, and refines these by self-attention where held-out cells show a gain.
#' A completed table is for prediction: standard errors and tests belong to \code{\link{fosa_sem}}.
#'
#' @param model,data,func As of \code{\link{fosa_sem}}.
#' @param refine Whether to refine by self-attention.
#' @param seed Of everything random.
#' @param ... Options of the fit (\code{std.lv}, \code{group} ...) and of the refiner (\code{epochs}, \code{width} ...).
#' @return An object of class \code{fosa_impute}: a list of the data.frames \code{data} (completed; other columns as
#'   they were), \code{imputed} (which cells were filled) and \code{sd} (conditional standard deviations, 0 where
#'   observed), and \code{imputer}, the object in Python. \code{as.data.frame()} gives the completed table.
fosa_impute <- function(model, data = NULL, func = "sem", refine = TRUE, seed = 0, ...) {
  asked <- .fosa_asked(model, data, func, list(...))
  imputer <- .fosa_value(.fosa$front$impute(asked$model, asked$data, asked$func, isTRUE(refine), as.integer(seed),
                                            asked$options))
  structure(c(.fosa_read(.fosa$front$filled(imputer)), list(imputer = imputer)), class = "fosa_impute")
}

print.fosa_impute <- function(x, ...) {
  cat(x$summary, "\n", sep = "")
  invisible(x)
}

summary.fosa_impute <- function(object, ...) print.fosa_impute(object)

as.data.frame.fosa_impute <- function(x, ...) x$data

# ---- comparison with lavaan ------------------------------------------------------------------------------------

#' Compare a fit with lavaan, number by number
#'
#' Fits the same model to the same data with lavaan in this session and compares every number that both report, at
#' stated tolerances.
#'
#' @param model A \code{fosa_sem} object, or model, data, func and options as of \code{\link{fosa_sem}}.
#' @param data,func,... As of \code{\link{fosa_sem}}.
#' @return An object of class \code{fosa_crosscheck}: a list of \code{ok} (no number differs for an unknown reason),
#'   the data.frames \code{table} (every number: ours, lavaan's, difference, verdict) and \code{by_quantity}, and
#'   \code{check}, the object in Python.
fosa_crosscheck <- function(model, data = NULL, func = "sem", ...) {
  fit <- if (inherits(model, "fosa_sem")) model else fosa_sem(model, data, func, ...)
  if (!requireNamespace("lavaan", quietly = TRUE)) {
    stop('the R package lavaan is missing: install.packages("lavaan")', call. = FALSE)
  }
  known <- as.list(.fosa$r$known_options())
  question <- .fosa_read(.fosa$front$crosscheck_question(fit$results, known))
  found <- .fosa$r$guarded(function() .fosa$r$pack(do.call(.fosa$r$exact_tables, question, quote = TRUE)))
  if (!is.null(found$error)) stop("lavaan stopped: ", found$error, call. = FALSE)
  check <- .fosa_value(.fosa$front$crosscheck_answer(fit$results, found$value, found$warnings))
  structure(c(.fosa_read(.fosa$front$crosscheck_tables(check)), list(check = check)), class = "fosa_crosscheck")
}

print.fosa_crosscheck <- function(x, ...) {
  cat(x$summary, "\n", sep = "")
  invisible(x)
}

summary.fosa_crosscheck <- function(object, ...) print.fosa_crosscheck(object)

as.data.frame.fosa_crosscheck <- function(x, ...) x$table

# ---- reports ---------------------------------------------------------------------------------------------------

#' Write a report
#'
#' @param model A \code{fosa_sem} or \code{fosa_impute} object, or model, data, func and options as of
#'   \code{\link{fosa_sem}}.
#' @param file Where to write: .html, .md or .txt.
#' @param data,func,... As of \code{\link{fosa_sem}}.
#' @param crosscheck A \code{fosa_crosscheck} object, to be a section of the report of a fit.
#' @return The path of the file, invisibly.
fosa_report <- function(model, file, data = NULL, func = "sem", crosscheck = NULL, ...) {
  fitted <- if (inherits(model, c("fosa_sem", "fosa_impute"))) model else fosa_sem(model, data, func, ...)
  object <- if (inherits(fitted, "fosa_impute")) fitted$imputer else fitted$results
  sections <- if (is.null(crosscheck)) NULL else list(crosscheck$check)
  path <- .fosa_value(.fosa$front$report(object, path.expand(file), sections))
  cat("Written: ", path, "\n", sep = "")
  invisible(path)
}
