# Answers the questions of `model_test_cases.py` with lavaan and semTools: reads request.json and the tables from the
# folder given, writes answer.json there.

suppressMessages(library(lavaan))

frame_of <- function(x) as.list(as.data.frame(unclass(x), stringsAsFactors = FALSE, check.names = FALSE))

by_group <- function(fit, value) if (lavInspect(fit, "ngroups") == 1L) list(value) else unname(value)

bootstrap_of <- function(fit, ask) {
  draws <- lavInspect(fit, "boot")
  rows <- lavaan:::lav_utils_bootstrap_indices(R = nrow(draws), nobs = fit@SampleStats@nobs, iseed = attr(draws, "seed"))
  tables <- lapply(ask$types, function(type) {
    frame_of(parameterEstimates(fit, boot.ci.type = type, level = ask$level))[c("est", "se", "ci.lower", "ci.upper")]
  })
  list(draws = unname(unclass(draws)[, ]), rows = rows[[1]], failed = attr(draws, "error.idx"),
       vcov = unname(unclass(vcov(fit))), tables = setNames(tables, unlist(ask$types)))
}

# bootstrapLavaan() of a fit without bootstrap: how it treats fixed exogenous variables, draw by draw.
resampled <- function(fit, ask) {
  draws <- bootstrapLavaan(fit, R = ask$draws, iseed = 3, keep.idx = TRUE)
  list(draws = unname(unclass(draws)[, ]), rows = attr(draws, "boot.idx")[[1]], cases = lavInspect(fit, "case.idx"))
}

questions <- list(
  modification = function(fit, ask) frame_of(do.call(modindices, c(list(fit), ask))),
  score = function(fit, ask) {
    found <- suppressWarnings(do.call(lavTestScore, c(list(fit), ask)))
    list(test = frame_of(found$test), uni = frame_of(found$uni), cumulative = frame_of(found$cumulative),
         epc = frame_of(found$epc))
  },
  refusal = function(fit, ask) {
    tryCatch({
      do.call(lavTestScore, c(list(fit), ask))
      "none"
    }, error = conditionMessage)
  },
  wald = function(fit, ask) lavTestWald(fit, ask$constraints),
  fmi = function(fit, ask) frame_of(parameterEstimates(fit, fmi = TRUE))[c("lhs", "op", "rhs", "fmi")],
  reliability = function(fit, ask) {
    found <- by_group(fit, suppressWarnings(semTools::reliability(fit, return.total = isTRUE(ask$total))))
    lapply(found, function(m) list(rows = rownames(m), factors = colnames(m), values = unname(m)))
  },
  composite = function(fit, ask) {
    lapply(list(omega3 = TRUE, omega2 = FALSE), function(observed) {
      unlist(unclass(semTools::compRelSEM(fit, obs.var = observed, return.df = FALSE)))
    })
  },
  bootstrap = bootstrap_of,
  resampled = resampled
)

compare <- function(fits, ask) {
  said <- character(0)
  table <- withCallingHandlers(
    do.call(lavTestLRT, c(fits, ask$options, list(model.names = unlist(ask$fits))[length(fits) > 1L])),
    warning = function(w) {
      said <<- c(said, conditionMessage(w))
      invokeRestart("muffleWarning")
    }
  )
  c(list(names = rownames(table), warnings = said), frame_of(table))
}

main <- function(folder) {
  request <- jsonlite::fromJSON(file.path(folder, "request.json"), simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
  tables <- lapply(request$tables, function(name) utils::read.csv(file.path(folder, paste0(name, ".csv"))))
  names(tables) <- unlist(request$tables)
  fits <- lapply(request$fits, function(ask) {
    suppressWarnings(do.call(ask$func, c(list(ask$model, data = tables[[ask$table]]), ask$options)))
  })
  answers <- lapply(request$questions, function(ask) {
    if (ask$kind == "compare") compare(unname(fits[unlist(ask$fits)]), ask)
    else questions[[ask$kind]](fits[[ask$fit]], ask$options)
  })
  result <- list(lavaan = jsonlite::unbox(as.character(packageVersion("lavaan"))),
                 semTools = jsonlite::unbox(as.character(packageVersion("semTools"))), answers = answers)
  text <- jsonlite::toJSON(result, digits = NA, na = "null", null = "null")
  writeLines(text, file.path(folder, "answer.json"))
}

main(commandArgs(trailingOnly = TRUE)[[1L]])
