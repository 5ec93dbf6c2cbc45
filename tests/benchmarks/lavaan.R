# Rscript lavaan.R FOLDER: times lavaan's sem() and summary() on FOLDER/model.txt and FOLDER/table.csv, after a
# small warm-up fit of FOLDER/warm_up.txt and FOLDER/warm_up.csv; writes FOLDER/lavaan.json.
suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})
folder <- commandArgs(trailingOnly = TRUE)[1]
read <- function(name) read.csv(file.path(folder, name), na.strings = "")
text <- function(name) paste(readLines(file.path(folder, name)), collapse = "\n")
whole_call <- function(model, table, options) {
  fit <- do.call("sem", c(list(model, data = quote(table), missing = "fiml"), options))
  capture.output(summary(fit, fit.measures = TRUE))
  fit
}
options <- fromJSON(file.path(folder, "options.json"))
invisible(whole_call(text("warm_up.txt"), read("warm_up.csv"), list()))
model <- text("model.txt")
table <- read("table.csv")
invisible(gc())
used <- system.time(fit <- whole_call(model, table, options), gcFirst = TRUE)
answer <- list(
  cpu = used[["user.self"]] + used[["sys.self"]],
  loglik = fitMeasures(fit, "logl")[[1]],
  converged = lavInspect(fit, "converged"),
  lavaan = as.character(packageVersion("lavaan")),
  r = as.character(getRversion())
)
write(toJSON(answer, auto_unbox = TRUE, digits = 15), file.path(folder, "lavaan.json"))
