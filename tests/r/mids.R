# What mice and semTools make of a saved mids: JSON.
suppressMessages({
  library(mice)
  library(semTools)
  library(jsonlite)
})
arguments <- commandArgs(trailingOnly = TRUE)
imputed <- readRDS(arguments[1])
pooled <- summary(pool(with(imputed, lm(x1 ~ x2 + x3))))
model <- "f =~ x1 + x2 + x3 + x4"
fitted <- suppressWarnings(cfa.mi(model, data = imputed))
table <- suppressMessages(summary(fitted, output = "data.frame", scale.W = FALSE))
answer <- list(
  classes = class(imputed), m = imputed$m, methods = as.list(imputed$method), pooled = pooled,
  est = table$est, se = table$se, third = complete(imputed, 3)$x2, imputed = imputed$imp$x2[["2"]],
  names = rownames(imputed$data)
)
writeLines(toJSON(answer, digits = NA, auto_unbox = TRUE), arguments[2])
