# Answers the questions of `model_test_cases.py` with lavaan and semTools: reads request.json and the tables from the
# folder given, writes answer.json there.

suppressMessages(library(lavaan))

frame_of <- function(x) {
  x <- as.data.frame(unclass(x), stringsAsFactors = FALSE, check.names = FALSE)
  as.list(x)
}

by_group <- function(fit, value) if (lavInspect(fit, "ngroups") == 1L) list(value) else unname(value)

questions <- list(
  modification = function(fit, ask) frame_of(do.call(modindices, c(list(fit), ask))),
  score = function(fit, ask) {
    found <- suppressWarnings(do.call(lavTestScore, c(list(fit), ask)))
    list(test = frame_of(found$test), uni = frame_of(found$uni), cumulative = frame_of(found$cumulative),
         epc = frame_of(found$epc))
  },
  wald = function(fit, ask) lavTestWald(fit, ask$constraints),
  fmi = function(fit, ask) frame_of(parameterEstimates(fit, fmi = TRUE)),
  reliability = function(fit, ask) {
    total <- isTRUE(ask$total)
    found <- by_group(fit, suppressWarnings(semTools::reliability(fit, return.total = total)))
    lapply(found, function(m) list(rows = rownames(m), columns = colnames(m), values = unname(m)))
  },
  composite = function(fit, ask) {
    lapply(list(observed = TRUE, implied = FALSE), function(obs) {
      found <- semTools::compRelSEM(fit, obs.var = obs, return.df = FALSE)
      lapply(by_group(fit, found), function(v) as.list(unclass(v)))
    })
  },
  bootstrap = function(fit, ask) frame_of(parameterEstimates(fit, boot.ci.type = ask$type, level = ask$level))
)

main <- function(folder) {
  request <- jsonlite::fromJSON(file.path(folder, "request.json"), simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
  tables <- lapply(request$tables, function(name) utils::read.csv(file.path(folder, paste0(name, ".csv"))))
  names(tables) <- unlist(request$tables)
  fits <- lapply(request$fits, function(ask) {
    suppressWarnings(do.call(ask$func, c(list(ask$model, data = tables[[ask$table]]), ask$options)))
  })
  names(fits) <- names(request$fits)
  answers <- lapply(request$questions, function(ask) {
    value <- tryCatch(questions[[ask$kind]](fits[[ask$fit]], ask$options),
                      error = function(e) list(error = conditionMessage(e)))
    value
  })
  comparisons <- lapply(request$comparisons, function(ask) {
    said <- character(0)
    value <- tryCatch(
      withCallingHandlers({
        chosen <- unname(fits[unlist(ask$fits)])
        table <- do.call(lavTestLRT, c(chosen, ask$options, list(model.names = unlist(ask$fits))[length(chosen) > 1]))
        c(list(names = rownames(table), scale = attr(table, "scale"), shift = attr(table, "shift")), frame_of(table))
      }, warning = function(w) {
        said <<- c(said, conditionMessage(w))
        invokeRestart("muffleWarning")
      }), error = function(e) list(error = conditionMessage(e)))
    c(value, list(warnings = said))
  })
  result <- list(lavaan = jsonlite::unbox(as.character(packageVersion("lavaan"))),
                 semTools = jsonlite::unbox(as.character(packageVersion("semTools"))),
                 answers = answers, comparisons = comparisons)
  text <- jsonlite::toJSON(result, digits = NA, na = "null", null = "null", auto_unbox = FALSE)
  writeLines(text, file.path(folder, "answer.json"))
}

main(commandArgs(trailingOnly = TRUE)[[1L]])
