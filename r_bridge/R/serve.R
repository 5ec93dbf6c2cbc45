# The doors for Python: each calls a function of this environment and leaves R as it was. What goes through the first
# is data both ways; the second gives an R object, the third takes one.

SERVED <- c("fit_tables", "exact_tables", "engine_fit", "known_options")
MADE <- c("mids_of")
READ <- c("tables_of_mids")

serve <- function(name, packed) {
  guarded(function() pack(do.call(get(match.arg(name, SERVED), envir = HERE), unpack(packed), quote = TRUE)))
}

make <- function(name, packed) {
  guarded(function() do.call(get(match.arg(name, MADE), envir = HERE), unpack(packed), quote = TRUE))
}

read <- function(name, value) {
  guarded(function() pack(get(match.arg(name, READ), envir = HERE)(value)))
}

HERE <- environment()

# Value (to be packed already, as its text is of this locale), warnings, messages and error of a task; random state,
# options and locale are put back.
guarded <- function(task) {
  put_back <- remember()
  on.exit(put_back())
  warned <- character(0)
  said <- character(0)
  failed <- NULL
  value <- tryCatch(
    withCallingHandlers(
      task(),
      warning = function(w) {
        warned <<- c(warned, conditionMessage(w))
        invokeRestart("muffleWarning")
      },
      message = function(m) {
        said <<- c(said, conditionMessage(m))
        invokeRestart("muffleMessage")
      }
    ),
    error = function(e) {
      failed <<- enc2utf8(conditionMessage(e))
      NULL
    }
  )
  list(value = value, warnings = texts_out(unique(warned)), messages = texts_out(said), error = failed)
}

remember <- function() {
  before <- options()
  seed <- get0(".Random.seed", envir = globalenv(), inherits = FALSE)
  locale <- utf8_locale()
  function() {
    added <- setdiff(names(options()), names(before))
    options(stats::setNames(vector("list", length(added)), added))
    options(before)
    if (!is.null(seed)) {
      assign(".Random.seed", seed, envir = globalenv())
    } else if (exists(".Random.seed", envir = globalenv(), inherits = FALSE)) {
      rm(".Random.seed", envir = globalenv())
    }
    if (!is.null(locale)) Sys.setlocale("LC_CTYPE", locale)
  }
}

# Names beyond ASCII need a locale that has them; the former one if it had to be changed.
utf8_locale <- function() {
  if (l10n_info()[["UTF-8"]]) return(NULL)
  before <- Sys.getlocale("LC_CTYPE")
  for (name in c("C.UTF-8", "en_US.UTF-8", "UTF-8")) {
    if (nzchar(suppressWarnings(Sys.setlocale("LC_CTYPE", name)))) return(before)
  }
  NULL
}
