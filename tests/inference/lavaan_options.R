# Options as lavaan resolves them: Rscript lavaan_options.R QUESTIONS.json ANSWERS.json
#
# A question has options under lavaan's names. The answer has what lavaan makes of them without fitting, its warnings,
# or the text of its error.
suppressMessages(library(lavaan))

wanted <- c("missing", "se", "test", "information", "observed.information", "h1.information", "meanstructure",
            "fixed.x", "likelihood")

set.seed(1)
data <- as.data.frame(rnorm(200) + matrix(rnorm(800), 200, dimnames = list(NULL, c("y1", "y2", "y3", "x"))))
data$g <- rep(c("a", "b"), 100)
data$y1[1:3] <- NA

answer <- function(question) {
  said <- character(0)
  hear <- function(w) {
    said <<- c(said, paste(strwrap(conditionMessage(w), 1e6), collapse = " "))
    invokeRestart("muffleWarning")
  }
  arguments <- c(list(model = question$model, data = data), question$options)
  found <- tryCatch(
    withCallingHandlers(
      lavInspect(do.call(question$func, arguments, envir = asNamespace("lavaan")), "options")[wanted], warning = hear
    ),
    error = function(e) list(error = paste(strwrap(conditionMessage(e), 1e6), collapse = " "))
  )
  if (length(said)) found$warnings <- said
  found
}

files <- commandArgs(trailingOnly = TRUE)
questions <- jsonlite::fromJSON(files[1], simplifyVector = TRUE, simplifyDataFrame = FALSE)
versions <- list(lavaan = as.character(packageVersion("lavaan")), R = as.character(getRversion()))
jsonlite::write_json(list(versions = versions, answers = lapply(questions, answer)), files[2], auto_unbox = FALSE)
